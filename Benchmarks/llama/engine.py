"""llama.cpp's forward pass on the processor, through the plain C interface that llama_cpp mirrors."""

import ctypes
import os

os.environ.setdefault("GGML_BACKTRACE", "0")
import llama_cpp as c
import numpy as np
from llama_cpp._ctypes_extensions import load_shared_library
from pathlib import Path

library = Path(c.__file__).parent / "lib"
ggml = load_shared_library("ggml-base", library)
ggml.ggml_get_name.restype = ctypes.c_char_p
ggml.ggml_get_name.argtypes = [ctypes.c_void_p]
ggml.ggml_backend_tensor_get.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
FLOAT32 = 0  # GGML_TYPE_F32


@c.llama_log_callback
def say_nothing(level, text, data):
    pass


c.llama_log_set(say_nothing, None)
c.llama_backend_init()


class Tensor(ctypes.Structure):
    """The beginning of a ggml_tensor: `shape` is fastest axis first, `strides` in bytes."""

    _fields_ = [
        ("type", ctypes.c_int), ("buffer", ctypes.c_void_p), ("shape", ctypes.c_int64 * 4),
        ("strides", ctypes.c_size_t * 4)]


class Engine:
    """One model and one context.

    With `maps`, the softmax of every layer is copied out of each pass into `self.maps`, [layer] -> [head][query][key];
    flash attention has none.
    """

    def __init__(self, path, length, threads, flash=False, maps=False):
        model = c.llama_model_default_params()
        model.n_gpu_layers = 0
        self.model = c.llama_model_load_from_file(str(path).encode(), model)
        if not self.model:
            raise RuntimeError(f"llama.cpp does not load {path}")
        context = c.llama_context_default_params()
        context.n_ctx = context.n_batch = context.n_ubatch = length
        context.n_threads = context.n_threads_batch = threads
        context.flash_attn_type = int(flash)
        # Keys and values as we keep them, so that both compute the same; flash attention keeps its own float16.
        context.type_k = context.type_v = c.GGML_TYPE_F16 if flash else c.GGML_TYPE_F32
        self.maps, self.failure = {}, None
        if maps:
            context.cb_eval = self.callback = c.ggml_backend_sched_eval_callback(self.look)
        self.context = c.llama_init_from_model(self.model, context)
        if not self.context:
            raise RuntimeError(f"llama.cpp makes no context for {path}")
        self.vocabulary = c.llama_vocab_n_tokens(c.llama_model_get_vocab(self.model))
        self.batch = c.llama_batch_init(length, 0, 1)

    def look(self, pointer, ask, _):
        """llama.cpp asks about each tensor of the graph beforehand, and hands over those that are wanted."""
        name = ggml.ggml_get_name(pointer)
        if not name.startswith(b"kq_soft_max-"):
            return not ask
        if ask:
            return True
        tensor = Tensor.from_address(pointer)
        keys, queries, heads, _ = tensor.shape
        if tensor.type != FLOAT32 or tensor.strides[1] != 4 * keys:
            self.failure = f"{name.decode()} is not packed float32"
            return False
        values = np.empty((heads, queries, keys), np.float32)
        ggml.ggml_backend_tensor_get(pointer, values.ctypes.data, 0, values.nbytes)
        self.maps[int(name[12:])] = values
        return True

    def tokens(self, text):
        """Token ids of a text, with the tokenizer's beginning."""
        out = (c.llama_token * (len(text) + 8))()
        raw = text.encode()
        count = c.llama_tokenize(c.llama_model_get_vocab(self.model), raw, len(raw), out, len(out), True, False)
        return list(out[:count])

    def forward(self, ids, first=0, every=True):
        """Logits of the ids at positions from `first` on: [token][vocabulary], or the last token's alone.

        `first` 0 begins anew; above it, the ids follow what the cache holds.
        """
        memory = c.llama_get_memory(self.context)
        if first == 0 and memory:
            c.llama_memory_clear(memory, False)
        b = self.batch
        b.n_tokens = len(ids)
        for i, id in enumerate(ids):
            b.token[i], b.pos[i], b.n_seq_id[i], b.seq_id[i][0] = int(id), first + i, 1, 0
            b.logits[i] = every or i == len(ids) - 1
        code = c.llama_decode(self.context, b)
        if code != 0 or self.failure:
            raise RuntimeError(self.failure or f"llama_decode returned {code}")
        rows = len(ids) if every else 1
        return np.ctypeslib.as_array(c.llama_get_logits(self.context), (rows, self.vocabulary))

    def close(self):
        c.llama_batch_free(self.batch)
        c.llama_free(self.context)
        c.llama_model_free(self.model)
