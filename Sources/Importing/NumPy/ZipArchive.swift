import CZip
import Foundation
import TraceFormat

/// A zip file, read member by member.
final class ZipArchive {
    let path: String
    /// Names and sizes of the members, in the order of the directory.
    let members: [(name: String, size: Int)]
    private let handle: OpaquePointer

    /// Members of one file: far more than any array file has.
    private static let memberLimit = 100_000

    init(path: String) throws(ImportError) {
        self.path = path
        do {
            try RegularFile.check(path)
        } catch TraceError.notFound {
            throw ImportError(.system, path: path, "cannot open: \(String(cString: strerror(ENOENT)))")
        } catch {
            throw ImportError(.malformed, path: path, "is no zip file, as .npz files are (it is no regular file)")
        }
        var code: Int32 = 0
        guard let handle = zip_open(path, ZIP_RDONLY, &code) else {
            if code == ZIP_ER_NOENT || code == ZIP_ER_OPEN || code == ZIP_ER_READ {
                throw ImportError(.system, path: path, "cannot open: \(String(cString: strerror(errno)))")
            }
            throw ImportError(.malformed, path: path, "is no zip file, as .npz files are (\(Self.text(code)))")
        }
        self.handle = handle
        let count = Int(zip_get_num_entries(handle, 0))
        var members: [(name: String, size: Int)] = []
        var seen: Set<String> = []
        var fault: String? = count > Self.memberLimit ? "has \(count) members" : nil
        if fault == nil {
            for index in 0..<count {
                var status = zip_stat_t()
                let wanted = UInt64(ZIP_STAT_NAME | ZIP_STAT_SIZE)
                guard zip_stat_index(handle, zip_uint64_t(index), 0, &status) == 0, status.valid & wanted == wanted,
                    let size = Int(exactly: status.size)
                else {
                    fault = "member \(index) has no name or size"
                    break
                }
                let name = String(cString: status.name)
                guard seen.insert(name).inserted else {
                    fault = "has two members called \(name.debugDescription)"
                    break
                }
                members.append((name, size))
            }
        }
        self.members = members
        if let fault { throw ImportError(.malformed, path: path, fault) }
    }

    deinit { zip_discard(handle) }

    /// Opens a member, by its place.
    func open(_ index: Int) throws(ImportError) -> MemberStream {
        guard let file = zip_fopen_index(handle, zip_uint64_t(index), 0) else {
            throw ImportError(
                .malformed, path: path, member: members[index].name,
                "cannot be read: \(String(cString: zip_strerror(handle)))")
        }
        return MemberStream(archive: self, name: members[index].name, size: members[index].size, file: file)
    }

    private static func text(_ code: Int32) -> String {
        var error = zip_error_t()
        zip_error_init_with_code(&error, code)
        defer { zip_error_fini(&error) }
        return String(cString: zip_error_strerror(&error))
    }
}

/// The bytes of a member, from first to last. libzip compares the checksum at the end.
final class MemberStream {
    let name: String
    private let archive: ZipArchive
    private let file: OpaquePointer
    /// Bytes that are left, by the directory.
    private(set) var remaining: Int

    fileprivate init(archive: ZipArchive, name: String, size: Int, file: OpaquePointer) {
        self.archive = archive
        self.name = name
        self.file = file
        remaining = size
    }

    deinit { zip_fclose(file) }

    func failure(_ reason: String) -> ImportError {
        ImportError(.malformed, path: archive.path, member: name, reason)
    }

    /// Fills a buffer.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(ImportError) {
        guard buffer.count <= remaining else { throw failure("ends too early") }
        var done = 0
        while done < buffer.count {
            guard let base = buffer.baseAddress else { return }
            let got = zip_fread(file, base + done, zip_uint64_t(buffer.count - done))
            guard got > 0 else {
                throw failure(got < 0 ? "is damaged: \(String(cString: zip_file_strerror(file)))" : "ends too early")
            }
            done += Int(got)
        }
        remaining -= done
    }

    /// The next bytes; `count` must be small, for it is allocated before it is known to be there.
    func bytes(_ count: Int) throws(ImportError) -> [UInt8] {
        guard count <= remaining else { throw failure("ends too early") }
        var bytes = [UInt8](repeating: 0, count: count)
        var fault: ImportError?
        bytes.withUnsafeMutableBytes { buffer in
            do throws(ImportError) { try read(into: buffer) } catch { fault = error }
        }
        if let fault { throw fault }
        return bytes
    }

    /// Moves the next bytes to the spool, and gives their place in it.
    func move(_ count: Int, to spool: Spool) throws(ImportError) -> Int {
        guard count <= remaining else { throw failure("ends too early") }
        let place = spool.count
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: min(max(1, count), 1 << 20), alignment: 16)
        defer { block.deallocate() }
        var left = count
        while left > 0 {
            let part = UnsafeMutableRawBufferPointer(rebasing: block[..<min(left, block.count)])
            try read(into: part)
            try spool.append(UnsafeRawBufferPointer(part))
            left -= part.count
        }
        return place
    }

    /// Checks that nothing is left, and with it the checksum.
    func end() throws(ImportError) {
        guard remaining == 0 else { throw failure("goes on for \(remaining) bytes after its array") }
        var byte: UInt8 = 0
        let got = zip_fread(file, &byte, 1)
        guard got == 0 else {
            throw failure(got < 0 ? "is damaged: \(String(cString: zip_file_strerror(file)))" : "goes on after its end")
        }
    }
}
