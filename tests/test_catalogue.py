"""What is built in is found by its file, without importing it."""

from hpsearch.catalogue import Entry, catalogue, function_named, subclass_of


def test_files_are_read_not_run(tmp_path):
    (tmp_path / "b.py").write_text('"""The file."""\nraise SystemExit\ndef load():\n    pass\n')
    (tmp_path / "a.py").write_text('def load(x):\n    """A set.\n\n    More.\n    """\n')
    (tmp_path / "helper.py").write_text("def unload():\n    pass\n")
    found = catalogue(tmp_path, function_named("load"))
    assert found == {"a": Entry("load", "A set."), "b": Entry("load", "The file.")}
    assert list(found) == ["a", "b"]


def test_classes_are_found_by_their_base_and_private_ones_are_not(tmp_path):
    (tmp_path / "net.py").write_text(
        "class _Part(kt.HyperModel):\n    pass\nclass Other(Base):\n    pass\n"
        'class Net(kt.HyperModel):\n    """A net."""\n'
    )
    assert catalogue(tmp_path, subclass_of("HyperModel")) == {"net": Entry("Net", "A net.")}
