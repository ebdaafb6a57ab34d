"""The Users page and the link that sets a password."""

from __future__ import annotations

from allauth.account.utils import perform_login
from django.contrib import messages
from django.contrib.auth import logout
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from leukoweb.core.exceptions import DomainError
from leukoweb.core.forms import EmailForm, NameForm, PasswordForm, UserForm, data_of, text_of
from leukoweb.core.http import person
from leukoweb.core.models import Role, User
from leukoweb.core.permissions import ACTIONS, public, requires
from leukoweb.core.services import users

REASON_MAX = 500


def _show(
    request: HttpRequest, form: UserForm, link: str = "", invited: User | None = None, status: int = 200
) -> HttpResponse:
    people = User.objects.annotate(n_mfa=Count("authenticator", filter=~Q(authenticator__type="recovery_codes")))
    table = [(text, [role in allowed for role in Role.values]) for text, allowed in ACTIONS.values()]
    context = {"people": people, "form": form, "link": link, "invited": invited, "roles": Role, "table": table}
    return render(request, "core/users.html", context, status=status)


def invite_link(request: HttpRequest, secret: str) -> str:
    return request.build_absolute_uri(reverse("join", args=[secret]))


@require_safe
@requires("users.manage")
def user_list(request: HttpRequest) -> HttpResponse:
    return _show(request, UserForm())


@require_POST
@requires("users.manage")
def user_create(request: HttpRequest) -> HttpResponse:
    form = UserForm(request.POST)
    if not form.is_valid():
        return _show(request, form, status=400)
    try:
        user = users.user_create(actor=person(request), **form.cleaned_data)
    except DomainError as error:
        form.add_error(error.field or None, error.message)
        return _show(request, form, status=error.status)
    return _show(request, UserForm(), invite_link(request, users.user_invite(actor=person(request), user=user)), user)


@require_POST
@requires("users.manage")
def user_invite(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_object_or_404(User, pk=pk)
    return _show(request, UserForm(), invite_link(request, users.user_invite(actor=person(request), user=user)), user)


@require_POST
@requires("users.manage")
def user_change(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_object_or_404(User, pk=pk)
    active = {"disable": False, "enable": True}.get(request.POST.get("do", ""))
    role, reason = request.POST.get("role") or None, text_of(request.POST.get("reason", ""), "Reason")
    try:
        users.user_change(actor=person(request), user=user, role=role, is_active=active, reason=reason[:REASON_MAX])
    except users.ReasonNeeded as needed:
        context = {
            "person": user, "role": needed.role, "do": request.POST.get("do", ""), "endings": needed.endings,
            "left": needed.left, "reason_max": REASON_MAX,
        }  # fmt: skip
        asked = "reason" in request.POST  # the first time the page asks; then it says that it is still empty
        return render(request, "core/user_change.html", context | {"empty": asked}, status=needed.status)
    messages.success(request, f"{user} was changed.")
    return redirect("user_list")


@require_POST
@requires("users.manage")
def user_name(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_object_or_404(User, pk=pk)
    users.user_name_set(actor=person(request), user=user, full_name=data_of(NameForm(request.POST))["full_name"])
    messages.success(request, f"The name of {user.username} is {user.get_full_name() or 'empty now'}.")
    return redirect("user_list")


@require_POST
@requires("users.manage")
def user_email(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_object_or_404(User, pk=pk)
    users.user_email_set(actor=person(request), user=user, email=data_of(EmailForm(request.POST))["email"])
    messages.success(
        request, f"The address of {user} is {user.email}." if user.email else f"{user} has no address now."
    )
    return redirect("user_list")


@require_POST
@requires("users.manage")
def user_second_factor_remove(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_object_or_404(User, pk=pk)
    users.user_second_factor_remove(actor=person(request), user=user)
    messages.success(request, f"{user} signs in without a second step until a new one is set up.")
    return redirect("user_list")


@require_safe
@public
def password_lost(request: HttpRequest) -> HttpResponse:
    """No mail is sent by anybody: an admin hands out a new link."""
    return render(request, "account/password_reset.html")


@public
def no_such_page(request: HttpRequest) -> HttpResponse:
    """In the place of a library's page that is not offered."""
    raise Http404


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
@public
def join(request: HttpRequest, secret: str) -> HttpResponse:
    """First use of the link sets a password and signs in; a second factor that the person has is asked for as ever."""
    user = users.invited_user(secret)
    form = PasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            user = users.invite_accept(secret=secret, password=form.cleaned_data["password"])
        except DomainError as error:
            form.add_error("password", error.message)
        else:
            logout(request)  # whoever was signed in here: this browser is now the person's whose link it is
            return perform_login(request, user)
    return render(request, "core/join.html", {"form": form, "person": user}, status=400 if form.errors else 200)
