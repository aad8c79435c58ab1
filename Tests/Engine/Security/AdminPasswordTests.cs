using OrleansMq.Access;
using OrleansMq.Brokers;
using OrleansMq.Security;
using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Security;

/// <summary>The first user of a broker.</summary>
public sealed class AdminPasswordTests
{
    private readonly MemoryFileSystem _files = new();

    [Theory]
    [InlineData(null, false, AuthorizationMode.Off)]
    [InlineData("secret", false, AuthorizationMode.Enforce)]
    [InlineData(null, true, AuthorizationMode.Enforce)]
    public void Rules_are_enforced_where_there_is_an_administrator_unless_that_is_set(string? password, bool hasSuperUsers,
        AuthorizationMode mode)
    {
        var options = new SecurityOptions { AdminPassword = password, SuperUsers = hasSuperUsers ? ["User:root"] : [] };
        Assert.Equal((mode, false), (options.Authorization, options.IsAuthorizationSet));
        foreach (var set in Enum.GetValues<AuthorizationMode>())
        {
            var changed = options with { Authorization = set };
            Assert.Equal((set, true), (changed.Authorization, changed.IsAuthorizationSet));
        }
    }

    [Fact]
    public void User_of_the_password_is_a_super_user()
    {
        var options = new SecurityOptions { AdminPassword = "secret", SuperUsers = ["User:root"] };
        var authorizer = new AclAuthorizer(options);
        Assert.Equal(AclReason.SuperUser, authorizer.Decide("User:admin", "", AccessOperation.Delete, ResourceType.Topic, "orders").Reason);
        Assert.True(options.IsReservedUserName("admin"));
        Assert.True(options.IsReservedUserName("root"));
        Assert.False(options.IsReservedUserName("alice"));
        Assert.False((options with { AdminPassword = null }).IsReservedUserName("admin"));
    }

    [Fact]
    public void Password_is_in_no_text()
    {
        var options = new BrokerOptions { DataDirectory = "/data", Security = new SecurityOptions { AdminPassword = "correct horse" } };
        Assert.DoesNotContain("correct horse", $"{options} {options.Security}", StringComparison.Ordinal);
    }

    [Fact]
    public async Task User_is_created_once_and_keeps_its_password()
    {
        await using (var broker = await OpenAsync(new SecurityOptions { AdminPassword = "first" }))
            Assert.True(await broker.Security.VerifiesAsync("admin", "first", "", default));
        await using var again = await OpenAsync(new SecurityOptions { AdminPassword = "second" });
        Assert.True(await again.Security.VerifiesAsync("admin", "first", "", default));
        Assert.False(await again.Security.VerifiesAsync("admin", "second", "", default));
    }

    [Fact]
    public async Task Start_without_room_for_the_user_fails_with_the_setting_and_leaves_the_directory_unlocked()
    {
        var refused = await Assert.ThrowsAsync<BrokerException>(() =>
            OpenAsync(new SecurityOptions { AdminPassword = "correct horse", MaxUsers = 0 }));
        Assert.Equal(ErrorCode.PolicyViolation, refused.Code);
        Assert.StartsWith("--admin-password (in code: BrokerOptions.Security.AdminPassword): the user admin could not be created: ",
            refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("correct horse", $"{refused}", StringComparison.Ordinal);
        await using var broker = await OpenAsync(new SecurityOptions());
        Assert.False(broker.Security.Has("admin"));
    }

    private Task<LocalBroker> OpenAsync(SecurityOptions security) =>
        LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = "/data", FileSystem = _files, Security = security });
}
