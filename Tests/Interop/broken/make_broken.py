"""Makes files that each break one rule of the format, from the golden traces.

    python make_broken.py FOLDER     writes FOLDER/CODE[-VARIANT].h5 for each of them

Each entry of KIT has the code that `attntrace verify --deep` must find, and nothing else: where the rule is not the
content hash, the hashes are made right again, by the rules of docs/format.md.
"""

import hashlib
import shutil
import sys
from collections import namedtuple
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
GOLDEN = HERE.parents[1] / "Golden/1.0"

from checker import hashes  # noqa: E402
from checker.schema import described, is_hashed  # noqa: E402

Entry = namedtuple("Entry", "name code base edit rehash")
KIT = []


def breaks(code, base="bidirectional", variant="", rehash=True):
    """Notes an edit: a function of the open file, or, for what h5py cannot do, of its path."""

    def note(edit):
        KIT.append(Entry(code + (f"-{variant}" if variant else ""), code, base, edit, rehash))
        return edit

    return note


def make(entry, folder):
    """Writes one file; its path."""
    target = Path(folder) / f"{entry.name}.h5"
    source = GOLDEN / f"{entry.base}.h5"
    shutil.copy(source, target)
    if entry.edit.__code__.co_varnames[0] == "path":
        entry.edit(target)
    else:
        # So that libhdf5 1.10 can read what h5py writes.
        with h5py.File(target, "r+", libver=("v110", "v110")) as file:
            entry.edit(file)
            if entry.rehash:
                rehash(file)
    return target


# Tools


def rehash(file):
    """Makes table and content hash right for the values that are there."""
    leaves = {("@", -1): hashes.attributes_leaf(file)}
    causal = file.attrs["causality"] == b"causal"

    def visit(path, item):
        entry = described(path)
        if isinstance(item, h5py.Dataset) and entry and is_hashed(path) and item.ndim == len(entry["dimensions"]):
            for index, value in hashes.leaves_of(item, path, entry, item.shape, causal):
                leaves[path, index] = value

    file.visititems(visit)
    write_table(file, leaves)


def write_table(file, leaves):
    ordered = sorted(leaves.items(), key=lambda item: (item[0][0].encode(), item[0][1]))
    for name in ["leaf", "content/leaf_path", "content/leaf_index", "content/leaf_sha256"]:
        file[name].resize((len(ordered),))
    file["leaf"][:] = np.arange(len(ordered), dtype="<i4")
    write_text(file, "content/leaf_path", [path.encode() for (path, _), _ in ordered])
    file["content/leaf_index"][:] = np.array([index for (_, index), _ in ordered], "<i4")
    write_text(file, "content/leaf_sha256", [value.encode() for _, value in ordered])
    write_text(file, "content_sha256", hashes.total(leaves).encode())


def write_text(file, path, values):
    """Text into a dataset of text; of its own type, for HDF5 turns no ASCII into UTF-8."""
    file[path][...] = np.array(values, file[path].dtype)


def set_text(file, name, value):
    """A fixed-length UTF-8 attribute, padded with zeros."""
    kind = h5py.string_dtype("utf-8", max(1, len(value.encode())))
    file.attrs.create(name, np.array(value.encode(), kind), dtype=kind)


def set_number(file, name, value, dtype="<i4"):
    file.attrs.create(name, np.array(value, dtype))


def recreate(file, path, values=None, dtype=None, axes=None, words=True, **options):
    """Replaces a dataset, keeping what is said of it and its scales."""
    old = file[path]
    kept = {name: old.attrs.get_id(name) for name in old.attrs if name in ("long_name", "units", "_FillValue")}
    kept = {name: (old.attrs[name], stored.dtype) for name, stored in kept.items()}
    values = old[()] if values is None else values
    names = described(path)["dimensions"] if axes is None else axes
    is_scale = h5py.h5ds.is_scale(old.id)
    number = old.attrs.get("_Netcdf4Dimid")
    users = []
    if is_scale:
        def visit(name, item):
            if isinstance(item, h5py.Dataset):
                for axis in range(item.ndim):
                    if not h5py.h5ds.is_scale(item.id) and h5py.h5ds.is_attached(item.id, old.id, axis):
                        users.append((name, axis))
        file.visititems(visit)
        for name, axis in users:
            h5py.h5ds.detach_scale(file[name].id, old.id, axis)
    else:
        for axis, name in enumerate(described(path)["dimensions"]):
            h5py.h5ds.detach_scale(old.id, file[name].id, axis)
    if dtype is None:
        dtype = old.dtype
    chunks = tuple(max(1, length) for length in np.shape(values))
    del file[path]
    new = file.create_dataset(path, data=np.asarray(values).astype(dtype), dtype=dtype, chunks=chunks, **options)
    for name, (value, kind) in kept.items():
        new.attrs.create(name, np.array(value, kind), dtype=kind)
    if is_scale:
        new.make_scale(path)
        new.attrs["_Netcdf4Dimid"] = number
        for name, axis in users:
            h5py.h5ds.attach_scale(file[name].id, new.id, axis)
    else:
        for axis, name in enumerate(names):
            h5py.h5ds.attach_scale(new.id, file[name].id, axis)
    return new


def keep_signals(file, *names):
    """Drops the datasets of every other signal, as repacking would."""
    from checker.schema import DATASETS

    for path, entry in DATASETS.items():
        for place in (path, "unconditional/" + path):
            if entry.get("signal") not in (None, *names) and place in file:
                for axis, name in enumerate(entry["dimensions"]):
                    h5py.h5ds.detach_scale(file[place].id, file[name].id, axis)
                del file[place]
    set_text(file, "signals", ",".join(sorted(names)))


def drop_signals(file, *names):
    """Drops the datasets of these signals, as repacking would."""
    signals = file.attrs["signals"].decode() if isinstance(file.attrs["signals"], bytes) else file.attrs["signals"]
    keep_signals(file, *set(signals.split(",")) - set(names))


def change(file, path, place, value):
    values = file[path][()]
    values[place] = value
    file[path][...] = np.asarray(values, file[path].dtype)


# The file


@breaks("file.open", rehash=False)
def cut_off(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@breaks("file.open", variant="text", rehash=False)
def something_else(path):
    path.write_text("once upon a time")


@breaks("file.read", rehash=False)
def a_broken_header(path):
    with h5py.File(path, "r") as file:
        address = h5py.h5o.get_info(file["block"].id).addr
    data = bytearray(path.read_bytes())
    data[address + 20] ^= 0xFF
    path.write_bytes(data)


@breaks("root.format", rehash=False)
def another_format(file):
    set_text(file, "format", "attention-track")


@breaks("root.format", variant="none", rehash=False)
def no_format(file):
    del file.attrs["format"]


@breaks("root.version", rehash=False)
def from_the_future(file):
    set_text(file, "format_version", "1.1")
    set_text(file, "min_reader", "1.1")


@breaks("root.version", variant="words", rehash=False)
def no_version(file):
    set_text(file, "format_version", "newest")


# Attributes


@breaks("attribute.missing")
def no_threads(file):
    del file.attrs["threads"]


@breaks("attribute.type")
def threads_as_a_float(file):
    set_number(file, "threads", 2, "<f4")


@breaks("attribute.type", variant="variable-length")
def producer_of_variable_length(file):
    file.attrs["producer"] = "h5py"


@breaks("attribute.value")
def no_threads_at_all(file):
    set_number(file, "threads", 0)


@breaks("attribute.value", variant="signal")
def an_unknown_signal(file):
    set_text(file, "signals", file.attrs["signals"].decode() + ",thoughts")


@breaks("attribute.value", base="selected", variant="queries", rehash=False)
def a_selection_that_falls(file):
    set_text(file, "planned_queries", "2,0,5,6")


@breaks("attribute.value", base="causal", variant="prompt", rehash=False)
def a_causal_trace_without_a_prompt(file):
    set_number(file, "prompt_length", 0)


@breaks("attribute.hash")
def weights_without_a_hash(file):
    set_text(file, "weights_sha256", "unknown")


@breaks("attribute.json")
def parameters_in_prose(file):
    set_text(file, "sampler_parameters", "four steps")


@breaks("attribute.heads")
def uneven_heads(file):
    set_number(file, "kv_head_count", 3)


@breaks("schema.hash")
def a_hash_of_another_schema(file):
    set_text(file, "schema_sha256", "0" * 64)


@breaks("schema.text")
def an_edited_schema(file):
    text = file["schema_text"][()].replace(b"whole", b"WHOLE")
    write_text(file, "schema_text", text)
    set_text(file, "schema_sha256", hashlib.sha256(text).hexdigest())


# Commit record


@breaks("commit.record", rehash=False)
def neither_whole_nor_not(file):
    file["is_complete"][()] = 7


@breaks("commit.record", variant="negative", rehash=False)
def fewer_than_no_steps(file):
    file["committed_steps"][()] = -1


@breaks("commit.steps", rehash=False)
def more_than_planned(file):
    file["committed_steps"][()] = 5


@breaks("commit.unfinished", rehash=False)
def cut_short(file):
    file["is_complete"][()] = 0


# Datasets


@breaks("dataset.missing")
def no_mask_count(file):
    del file["mask_count"]


@breaks("dataset.missing", variant="scalar", rehash=False)
def no_commit_record(file):
    del file["committed_steps"]


@breaks("dataset.missing", base="guided", variant="second-pass")
def no_second_entropy(file):
    del file["unconditional/entropy"]


@breaks("dataset.unlisted")
def top_not_listed(file):
    names = file.attrs["signals"].decode().split(",")
    set_text(file, "signals", ",".join(name for name in names if name != "top"))


@breaks("dataset.type")
def blocks_of_64_bits(file):
    recreate(file, "block", dtype="<i8")


@breaks("dataset.type", variant="big-endian")
def big_endian(file):
    recreate(file, "mask_count", dtype=">i4")


@breaks("dataset.axes")
def a_block_a_column(file):
    recreate(file, "block", file["block"][()][:, None], axes=["step"])


@breaks("dataset.length")
def a_block_too_few(file):
    recreate(file, "block", file["block"][:-1])


@breaks("dataset.longer", rehash=False)
def a_block_too_many(file):
    recreate(file, "block", np.append(file["block"][()], 0))


@breaks("dataset.words")
def another_unit(file):
    file["entropy"].attrs.create("units", np.array(b"bit", "S3"))


@breaks("dataset.words", variant="flags")
def flags_without_a_meaning(file):
    del file["is_masked"].attrs["flag_meanings"]


@breaks("dataset.fill")
def no_fill_value(file):
    del file["confidence"].attrs["_FillValue"]


@breaks("dataset.fill", variant="int32")
def zero_is_nothing(file):
    file["mask_count"].attrs["_FillValue"] = np.int32(0)


@breaks("dataset.filters")
def packed_bits(file):
    old = file["block"]
    words = {name: (old.attrs[name], old.attrs.get_id(name).dtype) for name in ("long_name", "units")}
    values = old[()]
    h5py.h5ds.detach_scale(old.id, file["step"].id, 0)
    del file["block"]
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk(values.shape)
    properties.set_filter(h5py.h5z.FILTER_NBIT, h5py.h5z.FLAG_OPTIONAL)
    properties.set_fletcher32()
    space = h5py.h5s.create_simple(values.shape)
    new = h5py.Dataset(h5py.h5d.create(file.id, b"block", h5py.h5t.STD_I32LE, space, properties))
    new[...] = values
    for name, (value, kind) in words.items():
        new.attrs.create(name, np.array(value, kind), dtype=kind)
    h5py.h5ds.attach_scale(new.id, file["step"].id, 0)


@breaks("dataset.checksum")
def no_checksum(file):
    recreate(file, "logsumexp", shuffle=True, compression="gzip")


@breaks("dataset.float16")
def halves_in_the_root(file):
    file.create_dataset("my_halves", data=np.zeros(3, "<f2"))


@breaks("dataset.name")
def a_child_like_an_axis(file):
    file.create_dataset("maps/step", data=np.arange(3, dtype="<i4"))


@breaks("dataset.outside")
def a_soft_link(file):
    file.move("block", "elsewhere")
    file["block"] = h5py.SoftLink("/elsewhere")


@breaks("dataset.outside", variant="virtual")
def a_virtual_dataset(file):
    file.move("block", "elsewhere")
    layout = h5py.VirtualLayout(shape=file["elsewhere"].shape, dtype="<i4")
    layout[:] = h5py.VirtualSource(file["elsewhere"])
    file.create_virtual_dataset("block", layout)


# Scales


@breaks("scale.missing")
def no_scale(file):
    h5py.h5ds.detach_scale(file["block"].id, file["step"].id, 0)


@breaks("scale.name")
def keys_called_positions(file):
    h5py.h5ds.detach_scale(file["visible_queries"].id, file["key"].id, 1)
    h5py.h5ds.attach_scale(file["visible_queries"].id, file["position"].id, 1)


@breaks("scale.length")
def a_scale_too_long(file):
    file["vocab"].resize((len(file["vocab"]) + 1,))
    file["vocab"][-1] = len(file["vocab"]) - 1


@breaks("label.value")
def a_layer_that_the_model_lacks(file):
    file["layer"][1] = 3


@breaks("label.value", variant="query", base="selected")
def another_query_than_planned(file):
    file["query"][1] = 1


@breaks("label.value", variant="generated", base="causal")
def generated_from_nowhere(file):
    file["generated"][:] = np.arange(4, dtype="<i4")


# Content hashes


@breaks("content.missing", rehash=False)
def no_hash(file):
    write_text(file, "content_sha256", b"")


@breaks("content.table", rehash=False)
def no_hash_in_the_table(file):
    change(file, "content/leaf_sha256", 5, b"zz")


@breaks("content.table", variant="twice", rehash=False)
def two_hashes_of_one(file):
    for name in ["content/leaf_path", "content/leaf_index"]:
        change(file, name, 6, file[name][5])


@breaks("content.coverage", rehash=False)
def a_hash_too_few(file):
    paths, indices, values = (file["content/" + name][()] for name in ["leaf_path", "leaf_index", "leaf_sha256"])
    leaves = {(path.decode(), int(index)): value.decode() for path, index, value in zip(paths, indices, values)}
    del leaves["received", 2]
    write_table(file, leaves)


@breaks("content.hash", rehash=False)
def another_total(file):
    write_text(file, "content_sha256", b"0" * 64)


@breaks("content.leaf", rehash=False)
def a_value_changed_later(file):
    change(file, "output_norm", (1, 1, 1, 1), 3.25)


@breaks("content.leaf", variant="attribute", rehash=False)
def another_model(file):
    set_text(file, "model_name", "synthetik")


@breaks("content.leaf", variant="text", rehash=False)
def another_text(file):
    change(file, "vocab_text", 8, b"word")


# Values


@breaks("chunk.damaged", rehash=False)
def a_flipped_byte(path):
    with h5py.File(path, "r") as file:
        chunk = file["maps/attention"].id.get_chunk_info(3)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 1
    path.write_bytes(data)


@breaks("text.encoding")
def half_a_character(file):
    change(file, "region_name", 0, b"caf\xc3")


@breaks("value.undefined")
def no_logsumexp(file):
    change(file, "logsumexp", (1, 0, 1, 2), np.nan)


@breaks("value.undefined", variant="half")
def an_infinite_key(file):
    change(file, "qk/key_vector", (1, 0, 1, 2, 0), np.inf)


@breaks("value.undefined", variant="causal", base="causal")
def a_stream_without_a_norm(file):
    change(file, "hidden_norm", (0, 1, 2), np.nan)


@breaks("value.range")
def a_negative_norm(file):
    change(file, "query_norm", (1, 0, 1, 2), -1)


@breaks("value.range", variant="cosine")
def a_cosine_of_two(file):
    change(file, "key_cosine", (1, 0, 1, 2), 2)


@breaks("value.range", variant="infinite")
def an_infinite_sum(file):
    change(file, "logsumexp", (1, 0, 1, 2), np.inf)


@breaks("value.probability")
def more_than_certain(file):
    step, position = np.argwhere(~np.isnan(file["confidence"][()]))[0]
    change(file, "confidence", (step, position), 1.5)


@breaks("value.flag")
def very_gold(file):
    change(file, "region_gold", 1, 7)


# Tokens


@breaks("vocab.missing")
def an_unknown_word(file):
    step, position = np.argwhere(file["top_id"][..., 0] >= 0)[0]
    change(file, "top_id", (step, position, 1), 12345)


@breaks("vocab.repeated")
def a_word_twice(file):
    for name in ["vocab", "vocab_id", "vocab_text"]:
        file[name].resize((len(file[name]) + 1,))
    file["vocab"][-1] = len(file["vocab"]) - 1
    for name in ["vocab_id", "vocab_text"]:
        change(file, name, -1, file[name][0])


@breaks("vocab.text")
def another_word(file):
    change(file, "token_text", 4, b"word")


@breaks("timeline.masked", base="minimal")
def a_masked_word(file):
    # A position of the prompt, so that only the count of masks follows.
    change(file, "is_masked", (2, 0), 1)
    change(file, "mask_count", 2, file["mask_count"][2] + 1)


@breaks("timeline.mask_count")
def a_mask_too_many(file):
    change(file, "mask_count", 1, file["mask_count"][1] + 1)


@breaks("timeline.time")
def another_time(file):
    change(file, "time", 1, 0.5)


@breaks("timeline.time", base="causal", variant="causal")
def a_causal_time(file):
    change(file, "time", 1, 0.5)


@breaks("timeline.asked")
def asked_and_not(file):
    step, position = np.argwhere(file["predicted_id"][()] >= 0)[0]
    change(file, "prediction_entropy", (step, position), np.nan)


@breaks("timeline.prompt")
def another_prompt(file):
    change(file, "token_id", (2, 0), file["token_id"][2, 1])


@breaks("timeline.prompt", base="causal", variant="causal")
def another_causal_prompt(file):
    change(file, "token_id", (2, 0), file["token_id"][2, 1])


@breaks("timeline.change")
def a_word_changes_its_mind(file):
    change(file, "token_id", (2, 4), file["token_id"][2, 0])


@breaks("timeline.change", base="causal", variant="causal")
def a_word_that_was_not_written(file):
    change(file, "token_id", (2, 4), file["token_id"][2, 0])


@breaks("timeline.unmask_step", base="minimal")
def a_masked_prompt(file):
    change(file, "unmask_step", 0, -2)
    change(file, "unmask_order", 0, -2)


@breaks("timeline.unmask_step", base="causal", variant="causal")
def unmasked_too_late(file):
    # A position of the prompt: no answer follows from it.
    change(file, "unmask_step", 1, 0)


@breaks("timeline.unmask_order")
def another_order(file):
    order = file["unmask_order"][()]
    first, second = np.flatnonzero(order == 1)[0], np.flatnonzero(order == 2)[0]
    order[[first, second]] = order[[second, first]]
    file["unmask_order"][...] = order


@breaks("timeline.unmask_order", variant="gap")
def an_order_with_a_gap(file):
    order = file["unmask_order"][()]
    order[order == 3] = 5
    file["unmask_order"][...] = order


@breaks("timeline.final_id")
def another_ending(file):
    last = int(np.argmax(file["unmask_step"][()]))
    change(file, "final_id", last, file["final_id"][0])
    change(file, "token_text", last, file["token_text"][0])


@breaks("timeline.final_id", base="causal", variant="causal")
def another_causal_ending(file):
    change(file, "final_id", 6, file["final_id"][0])
    change(file, "token_text", 6, file["token_text"][0])


@breaks("top.order")
def the_second_first(file):
    step, position = np.argwhere(file["top_id"][..., 0] >= 0)[0]
    change(file, "top_probability", (step, position, 1), 0.9)


@breaks("top.order", variant="twice")
def the_same_twice(file):
    step, position = np.argwhere(file["top_id"][..., 0] >= 0)[0]
    change(file, "top_id", (step, position, 1), file["top_id"][step, position, 2])


@breaks("region.index")
def nowhere(file):
    change(file, "region", 0, 2)


# Attention


@breaks("visible.count")
def unseen(file):
    change(file, "visible_queries", (1, 1), 3)


@breaks("visible.count", base="causal", variant="causal")
def seen_too_early(file):
    change(file, "visible_queries", (0, 4), 1)


@breaks("received.rows")
def attention_from_nowhere(file):
    keep_signals(file, "received")
    change(file, "received", (1, 1, 1, 0, 1), file["received"][1, 1, 1, 0, 1] + 0.5)


@breaks("received.rows", base="causal", variant="later-key")
def attention_to_a_later_key(file):
    keep_signals(file, "received")
    change(file, "received", (0, 1, 1, 0, 5), 1e-7)


@breaks("maps.rows")
def a_row_of_less(file):
    keep_signals(file, "maps")
    change(file, "maps/attention", (1, 1, 1, 0), file["maps/attention"][1, 1, 1, 0] / 2)


@breaks("maps.rows", base="causal", variant="causal")
def a_causal_row_of_less(file):
    keep_signals(file, "maps")
    change(file, "maps/attention", (0, 1, 1, 1), file["maps/attention"][0, 1, 1, 1] / 2)


@breaks("maps.visible", base="causal")
def a_look_ahead(file):
    change(file, "maps/attention", (0, 1, 1, 1, 4), np.float16(2.0**-24))


@breaks("maps.visible", variant="suppressed")
def a_suppressed_key_seen(file):
    change(file, "maps/attention", (1, 0, 1, 0, 1), np.float16(2.0**-24))


def move_received(file, path, place):
    """Moves attention from one key to another, so that rows still add up."""
    values = file[path][place]
    values[1] += values[0] / 2
    values[0] /= 2
    change(file, path, place, values)


@breaks("maps.received")
def moved(file):
    drop_signals(file, "qk")
    move_received(file, "received", (1, 1, 1, 2))


@breaks("maps.received", base="guided", variant="second-pass")
def moved_in_the_second_pass(file):
    drop_signals(file, "qk")
    move_received(file, "unconditional/received", (1, 1, 1, 0))


@breaks("maps.received", base="causal", variant="prompt")
def moved_in_a_prompt(file):
    drop_signals(file, "qk")
    move_received(file, "received", (0, 1, 1, 0))


@breaks("maps.received", base="causal", variant="row")
def moved_in_a_row(file):
    drop_signals(file, "qk")
    move_received(file, "received", (2, 1, 1, 1))


@breaks("maps.received", base="selected", variant="selected")
def less_than_a_part(file):
    drop_signals(file, "qk")
    values = file["received"][3, 1, 1, 0]
    values[1] += values[0]
    values[0] = 0
    change(file, "received", (3, 1, 1, 0), values)


@breaks("rows.maps")
def another_entropy(file):
    change(file, "entropy", (1, 1, 1, 1), file["entropy"][1, 1, 1, 1] + 0.25)


for quantity in ["max_weight", "attended_distance", "mask_mass"]:
    for base in ["bidirectional", "causal"]:

        @breaks("rows.maps", base=base, variant=f"{quantity}-{base}")
        def another_quantity(file, quantity=quantity):
            place = (file[quantity].shape[0] - 1, 1, 1, 1)
            change(file, quantity, place, file[quantity][place] / 2 + np.float32(0.0625))


@breaks("answer.source", base="minimal")
def another_source(file):
    change(file, "answer/source_query", 1, file["answer/source_query"][1] + 1)


@breaks("answer.rows", base="minimal")
def a_smaller_answer(file):
    change(file, "answer/attention", (1, 1, 1), file["answer/attention"][1, 1, 1] / 2)


@breaks("answer.map")
def an_answer_of_another_row(file):
    drop_signals(file, "qk")
    change(file, "answer/attention", (1, 1, 1), file["answer/attention"][1, 1, 1][::-1])


@breaks("answer.map", base="causal", variant="causal")
def a_causal_answer_of_another_row(file):
    drop_signals(file, "qk")
    row = file["answer/attention"][2, 1, 1]
    row[:2] = row[1::-1]
    change(file, "answer/attention", (2, 1, 1), row)


@breaks("qk.maps")
def a_map_of_other_vectors(file):
    keep_signals(file, "maps", "qk", "suppressed")
    move_received(file, "maps/attention", (1, 1, 0, 0))


@breaks("qk.maps", base="causal", variant="causal")
def a_causal_map_of_other_vectors(file):
    keep_signals(file, "maps", "qk", "suppressed")
    move_received(file, "maps/attention", (0, 1, 0, 1))


@breaks("qk.maps", base="guided", variant="second-pass")
def a_second_map_of_other_vectors(file):
    keep_signals(file, "maps", "qk")
    move_received(file, "unconditional/maps/attention", (1, 1, 0, 0))


@breaks("qk.received")
def received_from_other_vectors(file):
    drop_signals(file, "maps")
    move_received(file, "received", (1, 1, 1, 2))


@breaks("qk.received", base="causal", variant="causal")
def a_step_received_from_other_vectors(file):
    drop_signals(file, "maps")
    move_received(file, "received", (2, 1, 1, 1))


@breaks("qk.received", base="guided", variant="second-pass")
def received_from_other_vectors_in_the_second_pass(file):
    drop_signals(file, "maps")
    move_received(file, "unconditional/received", (1, 1, 1, 0))


@breaks("qk.received", base="selected", variant="selected")
def less_than_a_part_of_the_vectors(file):
    drop_signals(file, "maps")
    values = file["received"][3, 1, 1]
    values[:, 1] += values[:, 0]
    values[:, 0] = 0
    change(file, "received", (3, 1, 1), values)


for base in ["bidirectional", "causal"]:

    @breaks("qk.rows", base=base, variant=base)
    def another_sum_of_scores(file):
        place = (file["logsumexp"].shape[0] - 1, 1, 1, 1)
        change(file, "logsumexp", place, file["logsumexp"][place] + 0.0625)


@breaks("qk.answer")
def an_answer_of_other_vectors(file):
    drop_signals(file, "maps")
    change(file, "answer/attention", (1, 1, 1), file["answer/attention"][1, 1, 1][::-1])


@breaks("qk.answer", base="causal", variant="causal")
def a_causal_answer_of_other_vectors(file):
    drop_signals(file, "maps")
    row = file["answer/attention"][2, 1, 1]
    row[:2] = row[1::-1]
    change(file, "answer/attention", (2, 1, 1), row)


@breaks("qk.answer", variant="suppressed")
def a_suppressed_key_in_an_answer(file):
    keep_signals(file, "qk", "suppressed")
    change(file, "suppressed", (2, 0, 0, 1), 1)


@breaks("residual.order")
def a_median_above_all(file):
    change(file, "hidden_median", (1, 1, 1), file["hidden_max"][1, 1, 1] * 1.5)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    for each in KIT:
        print(make(each, sys.argv[1]))
