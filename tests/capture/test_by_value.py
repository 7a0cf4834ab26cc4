"""How persistent objects travel that are not stored, or not content."""

from Acquisition import aq_base
from BTrees.IIBTree import IITreeSet
from BTrees.Length import Length
from BTrees.OOBTree import OOBTree
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.exceptions import NotPortable
from collective.background.model.spool import MEMORY_LIMIT
from dataclasses import dataclass
from functools import partial
from helpers import finished
from helpers import jar_of
from helpers import result_of
from helpers import task_jar
from helpers import TIMEOUT
from helpers import Voter
from io import BytesIO
from persistent.mapping import PersistentMapping
from persistent.wref import WeakRef
from plone import api
from plone.app.textfield import RichTextValue
from plone.namedfile.file import NamedBlobFile
from plone.namedfile.file import NamedBlobImage
from plone.namedfile.file import NamedFile
from types import SimpleNamespace
from z3c.relationfield import RelationValue
from ZODB.blob import Blob
from ZODB.broken import find_global
from zope.annotation.interfaces import IAnnotations
from zope.component import getUtility
from zope.globalrequest import getRequest
from zope.intid.interfaces import IIntIds
from zope.keyreference.interfaces import IKeyReference
from ZPublisher.HTTPRequest import FileUpload

import pytest
import transaction


SMALL = b"hello"
LARGE = bytes(MEMORY_LIMIT) + b"the end"


@dataclass
class Holder:
    file: object


def new_file(data=SMALL):
    return NamedBlobFile(data, filename="a.txt")


def new_upload(data, filename):
    field = SimpleNamespace(
        file=BytesIO(data), headers={}, filename=filename, name="upload"
    )
    return FileUpload(field)


def read_or_fail(upload):
    """Fail with the file itself, if it has anything in it."""
    if upload.read():
        raise ValueError(upload)


def data_of(file):
    return file.data, file.filename


def data_inside(argument):
    return argument["deep"][0].file.data


def data_of_form():
    return getRequest().form["file"].data


def are_same(one, other):
    return one is other and one._blob is other._blob


def bytes_of(blob):
    with blob.open() as stream:
        return stream.read()


def data_of_content(content):
    return content.file.data, jar_of(content.file) == task_jar()


def note_data(file, record):
    api.portal.get().description = f"{file.filename}: {file.data.decode()}"


def attach(file):
    content = api.content.create(api.portal.get(), "File", "attached")
    content.file = file


def fail_if_file(file):
    if isinstance(file, NamedBlobFile):
        raise ValueError(file.data)


def fail_once(file):
    """Fail with the file, but not in the second attempt."""
    if not api.portal.get().description:
        raise ValueError(file.data)
    return file.data


def return_file(data):
    return {"file": new_file(data)}


def return_committed(content):
    return content.file


def sizes(*trees):
    return [len(tree) for tree in trees]


def look_into(tree):
    return [(key, content.getId()) for key, content in tree.items()]


def value_of(length):
    return length()


def target_of(relation):
    return relation.to_object.getId()


def count(annotations):
    annotations["count"] = annotations.get("count", 0) + 1


def object_of(reference):
    found = reference()
    return found.getId(), jar_of(found) == task_jar()


def output_of(text):
    return text.raw, text.output


def describe_broken(mapping):
    return repr(mapping["broken"]), mapping["broken"].__Broken_state__


@pytest.fixture
def stored_file(folder):
    content = api.content.create(folder, "File", "file")
    content.file = new_file()
    transaction.commit()
    return content


class TestBlobs:
    @pytest.mark.parametrize(
        "data", [b"", SMALL, LARGE], ids=["empty", "small", "large"]
    )
    def test_as_arguments(self, tier, data):
        assert result_of(schedule(data_of, new_file(data))) == (data, "a.txt")

    def test_of_images(self, tier):
        file = NamedBlobImage(SMALL, filename="a.png")
        assert result_of(schedule(data_of, file)) == (SMALL, "a.png")

    def test_without_a_file_around(self, tier):
        assert result_of(schedule(bytes_of, Blob(SMALL))) == SMALL

    def test_inside_of_collections(self, tier):
        argument = PersistentMapping(deep=[Holder(new_file())])
        assert result_of(schedule(data_inside, argument)) == SMALL

    def test_two_references_are_the_same_object(self, tier):
        file = new_file()
        assert result_of(schedule(are_same, file, file)) is True

    def test_in_the_form(self, tier):
        getRequest().form["file"] = new_file()
        assert result_of(schedule(data_of_form)) == SMALL

    def test_as_items_of_a_batch(self, tier):
        ids = [new_file(b"1"), new_file(b"2")]
        result = result_of(schedule_batch(data_of, ids))
        assert (result.done, result.failures) == (2, ())

    def test_in_callbacks(self, site, tier):
        callback = partial(note_data, new_file())
        finished(using(on_success=callback).schedule(len, "x"))
        get_scheduler().wait_all(TIMEOUT)
        transaction.begin()
        assert site.description == "a.txt: hello"

    @pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
    def test_in_results(self, tier, data):
        file = result_of(schedule(return_file, data))["file"]
        assert (file.data, file.filename, file._p_jar) == (data, "a.txt", None)

    def test_in_the_attempt_after_a_failure(self, site, tier):
        record = finished(schedule(fail_once, new_file(LARGE[-9:])))
        assert record.state == "failed"
        site.description = "Not the first attempt"
        transaction.commit()
        get_scheduler().retry(record.id)
        assert result_of(record.id) == LARGE[-9:]

    def test_that_the_task_attaches_to_content(self, site, tier):
        finished(schedule(attach, new_file(LARGE)))
        assert site["attached"].file.data == LARGE

    def test_that_are_attached_later_in_the_transaction(self, folder, tier):
        file = new_file()
        task_id = schedule(data_of, file)
        content = api.content.create(folder, "File", "file")
        content.file = file
        assert result_of(task_id) == (SMALL, "a.txt")
        assert content.file.data == SMALL

    def test_take_one_savepoint(self, site):
        """Other data managers pay for each."""
        saved = []
        manager = Voter(lambda: None)
        manager.savepoint = lambda: saved.append(1)
        transaction.get().join(manager)
        schedule(len, [new_file() for _ in range(10)])
        assert len(saved) == 1

    def test_in_a_variable_of_a_function(self, folder):
        """They are not shared: the caller's may come to belong to a connection."""
        file = new_file()
        task_id = schedule(lambda: (file.data, file._p_jar))
        content = api.content.create(folder, "File", "file")
        content.file = file
        assert result_of(task_id) == (SMALL, None)

    def test_of_content(self, stored_file, tier):
        assert result_of(schedule(data_of_content, stored_file)) == (SMALL, True)
        assert result_of(schedule(data_of, stored_file.file)) == (SMALL, "a.txt")
        assert result_of(schedule(bytes_of, stored_file.file._blob)) == SMALL

    def test_of_content_that_is_not_committed(self, folder, tier):
        content = api.content.create(folder, "File", "file")
        content.file = new_file(LARGE)
        task_id = schedule(data_of, content.file)
        assert result_of(task_id) == (LARGE, "a.txt")

    def test_that_are_changed_later_in_the_transaction(self, stored_file, tier):
        """As for all that is stored, the task sees what is committed."""
        task_id = schedule(data_of, stored_file.file)
        stored_file.file.data = b"changed"
        assert result_of(task_id) == (b"changed", "a.txt")

    def test_of_content_as_results(self, stored_file, tier):
        file = result_of(schedule(return_committed, stored_file))
        assert aq_base(file) is aq_base(stored_file.file)

    def test_that_are_written_are_refused(self, site):
        blob = Blob()
        with (
            blob.open("w"),
            pytest.raises(NotPortable, match=r"'blob' .*BlobError.*for writing"),
        ):
            schedule(bytes_of, blob)

    def test_of_an_item_that_fails(self, tier):
        """The rest is done; the failure has the item's place."""
        items = [new_file(), "text", new_file(LARGE)]
        result = result_of(schedule_batch(fail_if_file, items))
        assert result.done == 1
        assert [failure.index for failure in result.failures] == [0, 2]
        assert [failure.item for failure in result.failures] == ["item 0", "item 2"]


class TestUploads:
    def test_in_a_variable_of_a_function(self, site):
        """The caller's is closed with his request."""
        upload = new_upload(SMALL, "small.txt")
        task_id = schedule(lambda: upload.read())
        upload.close()
        assert result_of(task_id) == SMALL

    def test_of_an_item_that_fails(self, tier):
        """Neither the failure nor the error keeps the file."""
        items = [
            new_upload(b"", "empty.txt"),
            new_upload(SMALL, "small.txt"),
            new_upload(LARGE, "large.txt"),
        ]
        result = result_of(schedule_batch(read_or_fail, items))
        assert result.done == 1
        assert [failure.item for failure in result.failures] == [
            "small.txt",
            "large.txt",
        ]

    def test_of_items_that_all_fail(self, tier):
        """They are there again for a retry."""
        items = [new_upload(SMALL, "a.txt"), new_upload(LARGE, "b.txt")]
        task_id = schedule_batch(read_or_fail, items, size=1)
        assert finished(task_id).state == "failed"
        get_scheduler().retry(task_id)
        assert finished(task_id).state == "failed"
        result, _ = get_scheduler().get_result(task_id)
        assert [failure.item for failure in result.failures] == ["a.txt", "b.txt"]


class TestTrees:
    def test_of_any_size(self, tier):
        """Their buckets know each other, too many for pickle."""
        tree = OOBTree({f"{number:05}": number for number in range(20_000)})
        numbers = IITreeSet(range(20_000))
        assert result_of(schedule(sizes, tree, numbers)) == [20_000, 20_000]

    def test_with_content(self, folder, tier):
        tree = OOBTree({"a": folder})
        assert result_of(schedule(look_into, tree)) == [("a", "folder")]
        assert tree._p_jar is None

    def test_lengths(self, tier):
        assert result_of(schedule(value_of, Length(5))) == 5


class TestOthers:
    def test_a_file_without_blob(self, tier):
        file = NamedFile(LARGE, filename="a.txt")
        assert result_of(schedule(data_of, file)) == (LARGE, "a.txt")

    def test_a_relation(self, folder, tier):
        relation = RelationValue(getUtility(IIntIds).getId(folder))
        assert result_of(schedule(target_of, relation)) == "folder"

    def test_a_relation_of_content(self, folder, tier):
        content = api.content.create(folder, "Document", "doc")
        api.relation.create(content, folder, "relatedItems")
        (relation,) = content.relatedItems
        assert result_of(schedule(target_of, relation)) == "folder"

    def test_annotations(self, folder, tier):
        finished(schedule(count, IAnnotations(folder)))
        assert IAnnotations(folder)["count"] == 1

    def test_a_key_reference(self, folder, tier):
        reference = IKeyReference(folder)
        assert result_of(schedule(object_of, reference)) == ("folder", True)

    def test_a_rich_text(self, tier):
        text = RichTextValue("<p>Hello</p>", "text/html", "text/html")
        assert result_of(schedule(output_of, text)) == ("<p>Hello</p>",) * 2

    def test_a_rich_text_of_content(self, folder, tier):
        content = api.content.create(folder, "Document", "doc")
        content.text = RichTextValue("<p>Hello</p>", "text/html", "text/html")
        task_id = schedule(output_of, content.text)
        assert result_of(task_id) == ("<p>Hello</p>",) * 2

    def test_what_has_no_class_any_more(self, folder, tier):
        """The task has it as the request has it."""
        broken = find_global("an.addon", "Gone")()
        broken.__setstate__({"a": 1})
        mapping = PersistentMapping(broken=broken)
        task_id = schedule(describe_broken, mapping)
        assert result_of(task_id) == ("<broken an.addon.Gone instance>", {"a": 1})

    def test_volatile_attributes_are_left_behind(self, site):
        """As they are by the database."""
        mapping = PersistentMapping(a=1)
        mapping._v_lines = ["x"]
        task_id = schedule(lambda m: (m["a"], hasattr(m, "_v_lines")), mapping)
        assert result_of(task_id) == (1, False)

    def test_a_weak_reference_is_refused(self, folder):
        with pytest.raises(NotPortable, match="pass the object that it refers to"):
            schedule(object_of, WeakRef(aq_base(folder)))
