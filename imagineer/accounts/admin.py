from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm, AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group

from imagineer.accounts.models import ApiToken, User
from imagineer.accounts.services import revoke_api_token
from imagineer.own_changes import OwnChangesAdmin, OwnChangesForm, look_again


class UserCreationForm(AdminUserCreationForm):
    class Meta:
        model = User
        fields = ("email",)
        field_classes = {}


class UserForm(OwnChangesForm, UserChangeForm):
    class Meta:
        model = User
        fields = "__all__"
        field_classes = {}


class PasswordForm(AdminPasswordChangeForm):
    def set_password_and_save(self, user, *args, **options):
        super().set_password_and_save(user, *args, **options | {"commit": False})
        user.save(update_fields=["password"])
        return user


@admin.register(User)
class UserAdmin(OwnChangesAdmin, UserAdmin):
    form = UserForm
    add_form = UserCreationForm
    change_password_form = PasswordForm
    ordering = ["email"]
    list_display = ["email", "name", "is_staff", "is_active", "last_login"]
    list_filter = ["is_staff", "is_active"]
    search_fields = ["email", "name"]
    readonly_fields = ["last_login", "joined_at"]
    fieldsets = [
        (None, {"fields": ["email", "name", "password"]}),
        ("Rights", {"fields": ["is_active", "is_staff", "is_superuser", "groups"]}),
        ("Dates", {"fields": ["last_login", "joined_at"]}),
    ]
    add_fieldsets = [
        (None, {"classes": ["wide"], "fields": ["email", "usable_password", "password1", "password2"]})
    ]
    filter_horizontal = ["groups"]

    def user_change_password(self, request, *args, **options):
        return look_again(super().user_change_password, request, *args, **options)


admin.site.unregister(Group) if admin.site.is_registered(Group) else None


@admin.register(Group)
class GroupAdmin(OwnChangesAdmin, GroupAdmin):
    pass


# Tables of django-allauth that nothing here writes or reads
for unused in (EmailAddress, SocialApp, SocialToken, SocialAccount):
    admin.site.unregister(unused)


@admin.register(SocialAccount)
class GoogleAccountAdmin(admin.ModelAdmin):
    """Which account belongs to which Google identity. Deleting one lets the address be bound anew."""

    list_display = ["user", "provider", "uid", "date_joined", "last_login"]
    list_select_related = ["user"]
    search_fields = ["user__email", "uid"]
    fields = readonly_fields = ["user", "provider", "uid", "date_joined", "last_login"]

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False


@admin.register(ApiToken)
class ApiTokenAdmin(OwnChangesAdmin):
    """Tokens are made by ``manage.py create_api_token``, which shows the key once; here they are seen and revoked."""

    list_display = ["hint", "user", "name", "created_at", "last_used_at", "revoked_at"]
    list_select_related = ["user"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter)]
    readonly_fields = ["user", "hint", "created_at", "last_used_at", "revoked_at"]
    actions = ["revoke"]

    def has_add_permission(self, request):
        return False

    def has_delete_permission(self, request, obj=None):
        return False

    @admin.action(description="Revoke the selected tokens", permissions=["change"])
    def revoke(self, request, queryset):
        tokens = list(queryset.filter(revoked_at=None))
        for token in tokens:
            revoke_api_token(token)
        self.message_user(request, f"{len(tokens)} tokens revoked.", messages.SUCCESS)
