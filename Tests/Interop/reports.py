"""A written report, taken apart without the program: its elements, its blocks as NumPy arrays."""

import base64
import json
import re
import struct
import zlib

import numpy as np

ELEMENT = re.compile(r'<script type="(?:application/json|text/plain)" id="([^"]*)">(.*?)</script>', re.DOTALL)
TYPES = {"i32": "<i4", "f32": "<f4", "f16": "<f2", "u8": "u1"}


class Report:
    """A page by its path."""

    def __init__(self, path):
        self.text = path.read_text(encoding="utf-8")
        self.elements = dict(ELEMENT.findall(self.text))
        self.page = json.loads(self.elements["page"])

    def analysis(self, trace=0):
        return json.loads(self.elements[f"analysis/{trace}"])

    def has(self, path, trace=0):
        return f"block/{trace}/{path}" in self.elements

    def block(self, path, trace=0):
        """Arrays by name; codes as the values that they stand for, NaN where undefined; `peak of NAME` beside them."""
        data = zlib.decompress(base64.b64decode(self.elements[f"block/{trace}/{path}"], validate=True))
        (length,) = struct.unpack_from("<I", data)
        place = 4 + length
        found = {}
        for array in json.loads(data[4:place])["arrays"]:
            assert place % 8 == 0
            values = np.frombuffer(data, TYPES[array["type"]], int(np.prod(array["shape"])), place)
            place += -(-values.nbytes // 8) * 8
            values = values.reshape(array["shape"])
            if "peak" in array:
                found[f"peak of {array['name']}"] = array["peak"]
                values = np.where(values == 255, np.nan, array["peak"] * (values / 254.0) ** 2)
            found[array["name"]] = values
        assert place == len(data)
        return found


def assert_coded(shown, peak, true):
    """That values are those of their 8-bit codes: within half a step of the square root of value / peak."""
    assert np.array_equal(np.isnan(shown), np.isnan(true))
    seen = ~np.isnan(true)
    assert np.isclose(peak, true[seen].max(initial=0), rtol=1e-5)
    if peak > 0:
        np.testing.assert_allclose(np.sqrt(shown[seen] / peak), np.sqrt(true[seen] / peak), atol=0.5 / 254 + 2e-4)
