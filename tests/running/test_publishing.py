"""Which views a task can publish, and for whom: as over HTTP, for the task's user."""

from AccessControl.SecurityManagement import noSecurityManager
from collective.background import schedule_view
from collective.background import using
from collective.background.exceptions import BadOption
from contextlib import contextmanager
from five.localsitemanager import make_objectmanager_site
from helpers import body_of
from helpers import failure_of
from helpers import result_of
from io import BytesIO
from PIL import Image
from plone import api
from plone.app.testing import login
from plone.app.testing import SITE_OWNER_NAME
from plone.app.testing import TEST_USER_ID
from plone.namedfile import NamedBlobImage
from Products.CMFCore import explicitacquisition
from Products.CMFCore.DirectoryView import _dirreg
from Products.CMFCore.DirectoryView import createDirectoryView
from Products.PageTemplates.ZopePageTemplate import manage_addPageTemplate
from Products.PythonScripts.PythonScript import manage_addPythonScript
from published_views import ITestLayer
from zope.component import getGlobalSiteManager
from zope.component.hooks import getSite
from zope.component.interfaces import ISite
from zope.interface import alsoProvides
from zope.traversing.interfaces import IBeforeTraverseEvent

import json
import pytest
import transaction


pytestmark = pytest.mark.usefixtures("views")


def probed(task_id):
    """Return what the view ``probe`` has learnt, as a dictionary."""
    return json.loads(body_of(task_id))


def add_script(container, id, body, parameters=""):
    manage_addPythonScript(container, id)
    container[id].ZPythonScript_edit(parameters, body)
    return container[id]


@contextmanager
def before_traversal(handler):
    """Call the handler whenever a request comes by a site."""
    site_manager = getGlobalSiteManager()
    site_manager.registerHandler(handler, (ISite, IBeforeTraverseEvent))
    try:
        yield
    finally:
        site_manager.unregisterHandler(handler, (ISite, IBeforeTraverseEvent))


@pytest.fixture
def document(folder):
    content = api.content.create(folder, "Document", "doc", title="A document")
    transaction.commit()
    return content


@pytest.fixture
def private(site, folder):
    """A document that only a Manager may see."""
    site.portal_workflow.setDefaultChain("simple_publication_workflow")
    content = api.content.create(folder, "Document", "private", title="Private")
    transaction.commit()
    return content


@pytest.fixture
def member(site):
    """The id of a user without any right but that of being one."""
    api.user.create(email="m@example.org", username="member", password="correct horse")
    transaction.commit()
    return "member"


class TestNames:
    @pytest.mark.parametrize("name", ["probe", "@@probe", "/probe", "./@@probe/"])
    def test_a_view_by_its_name(self, folder, name):
        found = probed(schedule_view(folder, name))
        assert found["context"] == folder.absolute_url()
        assert found["URL"] == f"{folder.absolute_url()}/{name.strip('./')}"

    def test_of_the_site(self, site):
        found = probed(schedule_view(site, "probe"))
        assert found["context"] == site.absolute_url()

    def test_of_the_root_of_zope(self, site):
        found = probed(schedule_view(site.aq_parent, "probe"))
        assert found["context"] == site.aq_parent.absolute_url()

    @pytest.mark.parametrize("name", ["", "/", "..", "@@probe/../@@probe"])
    def test_no_name_is_failure_of(self, folder, name):
        with pytest.raises(BadOption, match="not the name of a view"):
            schedule_view(folder, name)

    def test_what_does_not_exist(self, folder):
        record, response = failure_of(schedule_view(folder, "no-such-view"))
        assert record.error.type == "zExceptions.NotFound"
        assert response.status == 404
        assert response.body == b""

    @pytest.mark.parametrize("name", ["aq_base", "REQUEST", "aq_self", "_tree"])
    def test_names_that_are_hidden(self, folder, name):
        record, response = failure_of(schedule_view(folder, name))
        assert record.error.type == "zExceptions.NotFound"
        assert response.status == 404

    def test_the_content_that_a_name_leads_to_has_a_default_view(self, document):
        task_id = schedule_view(document.aq_parent, "doc")
        assert "A document" in body_of(task_id)

    def test_the_default_page_of_a_folder(self, document):
        folder = document.aq_parent
        folder.setDefaultPage("doc")
        assert "A document" in body_of(schedule_view(folder.aq_parent, "folder"))

    def test_the_default_view_of_a_site(self, site):
        title = "The site itself"
        site.title = title
        assert title in body_of(schedule_view(site.aq_parent, site.getId()))

    def test_a_view_of_a_folder_for_its_default_page(self, document):
        folder = document.aq_parent
        folder.setDefaultPage("doc")
        assert "pat-structure" in body_of(schedule_view(folder, "folder_contents"))

    def test_a_path_below_a_view(self, folder):
        found = probed(schedule_view(folder, "@@probe/a/b c"))
        assert found["subpath"] == ["a", "b c"]
        assert found["URL"] == f"{folder.absolute_url()}/@@probe/a/b%20c"

    def test_a_scale_of_an_image(self, folder):
        picture = BytesIO()
        Image.new("RGB", (900, 300), "red").save(picture, "PNG")
        image = api.content.create(
            folder,
            "Image",
            "image",
            image=NamedBlobImage(picture.getvalue(), filename="red.png"),
        )
        response = result_of(schedule_view(image, "@@images/image/mini"))
        assert response.headers["Content-Type"] == "image/png"
        with Image.open(BytesIO(response.body)) as scale:
            assert (scale.width, scale.format) == (200, "PNG")

    def test_a_resource(self, site):
        response = result_of(schedule_view(site, "++resource++plone-logo.svg"))
        assert response.headers["Content-Type"] == "image/svg+xml"
        assert b"<svg" in response.body

    def test_a_view_by_its_namespace(self, folder):
        found = probed(schedule_view(folder, "++view++probe"))
        assert found["context"] == folder.absolute_url()

    def test_a_view_for_a_layer(self, functional_http_request, folder):
        record, _ = failure_of(schedule_view(folder, "layered"))
        assert record.error.type == "zExceptions.NotFound"

        alsoProvides(functional_http_request, ITestLayer)
        found = probed(schedule_view(folder, "layered"))
        assert found["published"] == "Probe"

    def test_acquired_content_where_zope_does_not_publish_it(
        self, monkeypatch, site, folder
    ):
        api.content.create(site, "Document", "elsewhere", title="Elsewhere")
        assert "Elsewhere" in body_of(schedule_view(folder, "elsewhere"))

        monkeypatch.setattr(explicitacquisition, "SKIP_PTA", False)
        record, response = failure_of(schedule_view(folder, "elsewhere"))
        assert record.error.type == "zExceptions.NotFound"
        assert response.status == 404
        assert "Elsewhere" in body_of(schedule_view(site, "elsewhere"))

    def test_content_that_was_renamed(self, folder):
        task_id = schedule_view(folder, "probe")
        api.content.rename(folder, "renamed")
        assert probed(task_id)["context"].endswith("/plone/renamed")


class TestHooks:
    """Of content and sites on the way, called before and after traversal."""

    def test_a_site_on_the_way_becomes_the_current_one(self, document):
        make_objectmanager_site(document.aq_parent)
        task_id = schedule_view(
            document, "act", {"function": lambda view: getSite().getId()}
        )
        assert body_of(task_id) == "folder"

    @pytest.mark.parametrize("id", ["plone", "folder"])
    def test_what_a_callback_returns_is_published_instead(self, document, id):
        def call_back(obj, event):
            if obj.getId() == id:
                event.request.post_traverse(lambda: "instead")

        if id == "folder":
            make_objectmanager_site(document.aq_parent)
        with before_traversal(call_back):
            assert body_of(schedule_view(document, "probe")) == "instead"

    def test_a_callback_is_called_only_where_the_user_may(self, document, member):
        def call_back(obj, event):
            event.request.post_traverse(lambda: "instead")

        with before_traversal(call_back):
            task_id = using(user=member).schedule_view(document, "for-managers")
            _, response = failure_of(task_id)
        assert response.status == 401


class TestTemplatesAndScripts:
    def test_a_python_script(self, folder):
        add_script(folder, "do_it", "return context.getId() + word", "word")
        task_id = schedule_view(folder, "do_it", {"word": "!"})
        assert body_of(task_id) == "folder!"

    def test_a_python_script_of_a_skin(self, folder):
        add_script(
            folder.portal_skins.custom, "skin_script", "return context.absolute_url()"
        )
        task_id = schedule_view(folder, "skin_script")
        assert body_of(task_id) == folder.absolute_url()

    def test_a_page_template(self, folder):
        manage_addPageTemplate(
            folder, "template", text="<p tal:content='here/title'></p>"
        )
        assert body_of(schedule_view(folder, "template")) == "<p>A folder</p>"

    def test_a_page_template_of_a_skin(self, folder):
        manage_addPageTemplate(
            folder.portal_skins.custom,
            "skin_template",
            text="<p tal:content='request/URL'></p>",
        )
        address = f"{folder.absolute_url()}/skin_template"
        assert body_of(schedule_view(folder, "skin_template")) == f"<p>{address}</p>"

    def test_a_script_in_the_file_system(self, folder):
        task_id = schedule_view(folder, "pretty_title_or_id")
        assert body_of(task_id) == "A folder"

    def test_a_template_in_the_file_system(self, tmp_path, folder):
        (tmp_path / "fs_template.pt").write_text("<p tal:content='here/title'></p>")
        skins = folder.portal_skins
        _dirreg.registerDirectoryByKey(str(tmp_path), str(tmp_path))
        createDirectoryView(skins, str(tmp_path), "ours")
        skins.addSkinSelection("Plone Default", "custom,ours,plone_scripts")
        assert body_of(schedule_view(folder, "fs_template")) == "<p>A folder</p>"

    def test_a_script_may_do_what_its_user_may(self, site, member):
        add_script(site, "do_it", "return context.acl_users.getUsers()")
        record, response = failure_of(using(user=member).schedule_view(site, "do_it"))
        assert record.error.type.endswith(".Unauthorized")
        assert response.status == 401

        assert result_of(schedule_view(site, "do_it")).status == 200


class TestMethodsOfContent:
    def test_a_public_one(self, document, member):
        assert body_of(using(user=member).schedule_view(document, "getId")) == "doc"

    def test_one_with_a_permission(self, document, member):
        name = "rolesOfPermission"
        form = {"permission": "View"}
        record, response = failure_of(
            using(user=member).schedule_view(document, name, form)
        )
        assert record.error.type == "zExceptions.unauthorized.Unauthorized"
        assert response.status == 401

        assert "Anonymous" in body_of(schedule_view(document, name, form))

    @pytest.mark.parametrize(
        ("name", "status"), [("Title", 404), ("unrestrictedTraverse", 401)]
    )
    def test_one_that_is_not_for_the_web(self, document, name, status):
        """Not even for a Manager: it has no docstring, or is private."""
        _, response = failure_of(schedule_view(document, name, {"path": "."}))
        assert response.status == status


class TestPermissions:
    def test_runs_as_the_user_of_the_task(self, folder, member):
        found = probed(using(user=member).schedule_view(folder, "probe"))
        assert found["user"] == found["authenticated"] == member

    def test_a_view_for_managers(self, folder, member):
        record, response = failure_of(
            using(user=member).schedule_view(folder, "for-managers")
        )
        assert record.error.type == "zExceptions.unauthorized.Unauthorized"
        assert member in record.error.message
        assert response.status == 401

        assert probed(schedule_view(folder, "for-managers"))["user"] == TEST_USER_ID

    def test_private_content(self, private, member):
        _, response = failure_of(using(user=member).schedule_view(private, "probe"))
        assert response.status == 401

        api.user.grant_roles(member, roles=["Reader"], obj=private)
        found = probed(using(user=member).schedule_view(private, "probe"))
        assert found["user"] == member

    def test_private_content_by_its_name(self, folder, private, member):
        assert "Private" in body_of(schedule_view(folder, "private"))

        task_id = using(user=member).schedule_view(folder, "private")
        _, response = failure_of(task_id)
        assert response.status == 401

    def test_anonymous(self, document):
        noSecurityManager()
        assert probed(schedule_view(document, "probe"))["user"] is None
        _, response = failure_of(schedule_view(document, "for-managers"))
        assert response.status == 401

    def test_roles_are_those_of_when_it_runs(self, folder, member):
        task_id = using(user=member).schedule_view(folder, "for-managers")
        api.user.grant_roles(member, roles=["Manager"])
        assert probed(task_id)["user"] == member

    def test_a_manager_of_zope(self, site):
        """He is of the user folder of the root, above the site."""
        login(site.aq_parent, SITE_OWNER_NAME)
        found = probed(schedule_view(site, "for-managers"))
        assert found["user"] == SITE_OWNER_NAME

    def test_zope_itself(self, folder):
        task_id = using(user="System Processes").schedule_view(folder, "for-managers")
        assert result_of(task_id).status == 200

    def test_a_user_of_a_folder_has_no_rights_above_it(self, folder):
        folder.manage_addUserFolder()
        folder.acl_users.userFolderAddUser("local", "secret", ["Manager"], [])
        inside = api.content.create(folder, "Folder", "inside")
        login(folder, "local")
        assert probed(schedule_view(inside, "for-managers"))["user"] == "local"

        _, response = failure_of(schedule_view(api.portal.get(), "for-managers"))
        assert response.status == 401

    def test_nothing_is_committed_when_it_is_failure_of(self, folder, member):
        add_script(
            folder, "do_it", "context.setTitle('No'); context.acl_users.getUsers()"
        )
        failure_of(using(user=member).schedule_view(folder, "do_it"))
        assert folder.title == "A folder"
