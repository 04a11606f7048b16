#!/usr/bin/env python3
"""The arrows between the layers: each source includes headers of its own folder, of the layers that
src/CMakeLists.txt says it uses and of include/coala, and nothing of cli; each type has a name of its own. Usage:
layers_test.py"""

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

    def test_types_have_names_of_their_own(self):
        """Two types of one name, each in a layer of its own, compile and link, and one gets the other's destructor."""
        where = {}
        for folder, _, files in os.walk(SOURCE):
            for name in files:
                if not name.endswith(".h"):
                    continue
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    text = file.read()
                for type_name in re.findall(r"^(?:struct|class|enum class) (\w+)[^;{]*\{", text, re.MULTILINE):
                    where.setdefault(type_name, []).append(os.path.relpath(os.path.join(folder, name), SOURCE))
        self.assertGreater(len(where), 100)
        self.assertEqual({name: files for name, files in where.items() if len(files) > 1}, {})

    def test_there_is_no_way_round(self):
        layers = declared()

        def below(layer):
            return {layer}.union(*(below(other) for other in layers[layer]))

        for layer, uses in layers.items():
            for other in uses:
                self.assertNotIn(layer, below(other))


if __name__ == "__main__":
    unittest.main()
