"""The calls by which a run changed files, and the files as they were between any two of them.

A killed process leaves what the calls before it made, so a log of one run gives every moment at which it could have been
killed, without running it again.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

PAGE = 4096
# Of HDF5's metadata: superblock, object header, its continuation, indices of chunks (extensible and fixed array, B-tree),
# heaps.
SIGNATURES = {
    b"\x89HDF", b"OHDR", b"OCHK", b"EAHD", b"EAIB", b"EASB", b"EADB", b"FAHD", b"FADB", b"BTHD", b"BTIN", b"BTLF", b"FRHP",
    b"FHDB", b"FHIB", b"FSHD", b"FSSE"}


@dataclass(frozen=True)
class Call:
    number: int
    failed: bool
    kind: str
    path: str
    other: str
    offset: int
    data: bytes

    @property
    def is_metadata(self):
        """Whether it writes structure rather than values: something with a signature."""
        return self.data[:4] in SIGNATURES

    def torn_in_half(self):
        """The same with half of its bytes written."""
        return dataclasses.replace(self, data=self.data[: len(self.data) // 2])

    def torn_at_page(self):
        """The same as far as Linux could get when the process is killed in it: up to the end of a page of the file.

        The same whole call where it stays within a page.
        """
        return dataclasses.replace(self, data=self.data[: PAGE - self.offset % PAGE])

    def relative_to(self, folder):
        """The same with the names of files in a folder instead of their paths."""
        return dataclasses.replace(
            self, path=self.path.removeprefix(f"{folder}/"), other=self.other.removeprefix(f"{folder}/"))


def read_log(path):
    """The calls of a log of write_faults.c, in order."""
    raw = Path(path).read_bytes() if Path(path).exists() else b""
    calls, place = [], 0
    while place < len(raw):
        end = raw.index(b"\n", place)
        number, state, kind, name, other, offset, size = raw[place:end].decode().split("\t")
        place = end + 1 + int(size)
        calls.append(Call(int(number), state == "failed", kind, name, other, int(offset), raw[end + 1 : place]))
    return calls


class Files:
    """Files as calls leave them: name to content. Two names of one file share the content."""

    def __init__(self, files=()):
        self.content = {str(path): bytearray(data) for path, data in dict(files).items()}

    def apply(self, call):
        """Makes one call."""
        # What is written to a file after its last name was taken away, nobody will see.
        if call.failed or call.path.endswith(" (deleted)"):
            return
        match call.kind:
            case "create":
                self.content[call.path] = bytearray()
            case "write":
                data = call.data
                file = self.content[call.path]
                if len(file) < call.offset:
                    file.extend(bytes(call.offset - len(file)))
                file[call.offset : call.offset + len(data)] = data
            case "truncate":
                file = self.content[call.path]
                file.extend(bytes(max(0, call.offset - len(file))))
                del file[call.offset :]
            case "rename":
                self.content[call.other] = self.content.pop(call.path)
            case "link":
                self.content[call.other] = self.content[call.path]
            case "unlink":
                del self.content[call.path]
            case "sync":
                pass
            case kind:
                raise ValueError(f"unknown call {kind}")
