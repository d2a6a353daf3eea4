from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView


class PersonSerializer(serializers.Serializer):
    email = serializers.EmailField()
    name = serializers.CharField()
    is_admin = serializers.BooleanField(source="is_staff")


class WhoAmISerializer(serializers.Serializer):
    authenticated = serializers.BooleanField()
    user = PersonSerializer(required=False)


class WhoAmI(APIView):
    """Who this request is signed in as."""

    permission_classes = [AllowAny]

    @extend_schema(operation_id="auth_me", responses=WhoAmISerializer)
    def get(self, request):
        if not request.user.is_authenticated:
            return Response({"authenticated": False})
        return Response({"authenticated": True, "user": PersonSerializer(request.user).data})
