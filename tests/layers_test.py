#!/usr/bin/env python3
"""The arrows between the layers: each source includes headers of its own folder, of the layers that
src/CMakeLists.txt says it uses and of include/coala, and nothing of cli. Usage: layers_test.py"""

import os
import re
import unittest

PUBLIC = "coala"  # the headers of include/coala, which every layer may include
SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src")


def declared():
    """The layers, and those that each uses."""
    with open(os.path.join(SOURCE, "CMakeLists.txt"), encoding="utf-8") as file:
        text = file.read()
    layers = {}
    for name, arguments in re.findall(r"coala_layer\((\w+)([^)]*)\)", text):
        words = arguments.split()
        uses = words[words.index("USES") + 1:] if "USES" in words else []
        layers[name] = set(uses[:uses.index("LINKS")] if "LINKS" in uses else uses)
    return layers


class Layers(unittest.TestCase):
    def test_includes_follow_the_arrows(self):
        layers = declared()
        self.assertGreater(len(layers), 10)
        wrong = []
        for folder, _, files in os.walk(SOURCE):
            layer = os.path.relpath(folder, SOURCE).split(os.sep)[0]
            for name in files:
                if layer == "cli" or not name.endswith((".cpp", ".h")):
                    continue
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    for other in re.findall(r'#include "(\w+)/', file.read()):
                        if other not in {layer, PUBLIC, *layers[layer]}:
                            wrong.append(f"{layer}/{name} includes {other}")
        self.assertEqual(wrong, [])

    def test_there_is_no_way_round(self):
        layers = declared()

        def below(layer):
            return {layer}.union(*(below(other) for other in layers[layer]))

        for layer, uses in layers.items():
            for other in uses:
                self.assertNotIn(layer, below(other))


if __name__ == "__main__":
    unittest.main()
