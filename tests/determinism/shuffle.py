#!/usr/bin/env python3
"""Rewrite an input with the order of equal things shuffled: what means the same must give the same result.

    shuffle.py SEED topology IN.xml     attributes of elements, and link elements among their neighbours
    shuffle.py SEED trace IN.json       members of objects, programs

Device order, rank order and op order have a meaning and stay."""
import json
import random
import sys
import xml.etree.ElementTree as tree


def shuffle_object(value, rng):
    if isinstance(value, dict):
        items = [(key, shuffle_object(member, rng)) for key, member in value.items()]
        rng.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        return [shuffle_object(member, rng) for member in value]
    return value


def shuffle_trace(text, rng):
    value = shuffle_object(json.loads(text), rng)
    if "programs" in value:
        rng.shuffle(value["programs"])
    return json.dumps(value, indent=1)


def shuffle_links(parent, rng):
    """Links change places with links only."""
    places = [i for i, child in enumerate(parent) if child.tag == "link"]
    links = [parent[i] for i in places]
    rng.shuffle(links)
    for i, link in zip(places, links):
        parent[i] = link


def shuffle_topology(text, rng):
    root = tree.fromstring(text)
    for element in root.iter():
        items = list(element.attrib.items())
        rng.shuffle(items)
        element.attrib = dict(items)
        shuffle_links(element, rng)
    return tree.tostring(root, encoding="unicode")


def main():
    seed, kind, path = sys.argv[1:]
    rng = random.Random(int(seed))
    with open(path) as file:
        text = file.read()
    print(shuffle_trace(text, rng) if kind == "trace" else shuffle_topology(text, rng))


main()
