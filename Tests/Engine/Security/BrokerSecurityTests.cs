using OrleansMq.Access;
using OrleansMq.Diagnostics;
using OrleansMq.Security;
using OrleansMq.Tests.Engine.VirtualHosts;

namespace OrleansMq.Tests.Engine.Security;

/// <summary>Users and rules over a store that several brokers change, and that fails.</summary>
public sealed class BrokerSecurityTests
{
    private static readonly AclRule Rule = new(ResourceType.Topic, AclPattern.Literal, "orders", "User:alice", "*", AccessOperation.Read,
        AclPermission.Allow);

    private readonly MemoryStateStore _store = new();

    [Fact]
    public async Task Users_and_rules_survive_a_restart()
    {
        await using (var broker = await OpenAsync())
        {
            await broker.AlterUserAsync(Password("alice", "secret"));
            await broker.CreateAclsAsync([Rule]);
        }
        await using var again = await OpenAsync();
        Assert.True(await again.VerifiesAsync("alice", "secret", default));
        Assert.False(await again.VerifiesAsync("alice", "Secret", default));
        Assert.False(await again.VerifiesAsync("bob", "secret", default));
        Assert.Equal([Rule], again.ListAcls(new AclFilter()));
        Assert.True(again.Authorizer.Decide("User:alice", "", AccessOperation.Read, ResourceType.Topic, "orders").IsAllowed);
    }

    [Fact]
    public async Task Store_holds_no_password()
    {
        await using var broker = await OpenAsync();
        await broker.AlterUserAsync(Password("alice", "correct horse"));
        foreach (var key in _store.Keys)
        {
            var text = System.Text.Encoding.UTF8.GetString((await _store.ReadAsync(key))!.Value.Span);
            Assert.DoesNotContain("correct horse", text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Change_of_one_broker_is_in_force_on_another_that_hears_of_it()
    {
        await using var first = await OpenAsync(isAlone: false);
        await using var second = await OpenAsync(isAlone: false);
        await first.AlterUserAsync(Password("alice", "old"));
        await HearAsync(second, first);
        Assert.True(await second.VerifiesAsync("alice", "old", default));

        await first.AlterUserAsync(Password("alice", "new"));
        await first.CreateAclsAsync([Rule]);
        await HearAsync(second, first);
        Assert.False(await second.VerifiesAsync("alice", "old", default));
        Assert.True(await second.VerifiesAsync("alice", "new", default));
        Assert.Equal([Rule], second.ListAcls(new AclFilter()));

        await first.DeleteUserAsync("alice");
        await first.DeleteAclsAsync([new AclFilter()]);
        await HearAsync(second, first);
        Assert.False(await second.VerifiesAsync("alice", "new", default));
        Assert.Equal([], second.ListAcls(new AclFilter()));
    }

    [Fact]
    public async Task Known_user_logs_in_and_rules_hold_while_the_store_is_away()
    {
        await using var broker = await OpenAsync();
        await broker.AlterUserAsync(Password("alice", "secret"));
        await broker.AlterUserAsync(Password("bob", "secret"));
        await broker.CreateAclsAsync([Rule]);
        Assert.True(await broker.VerifiesAsync("alice", "secret", default));
        _store.ReadsFail = true;
        Assert.True(await broker.VerifiesAsync("alice", "secret", default));
        // Nobody has read this one's credentials: the client tries again, it is not refused.
        await Assert.ThrowsAsync<IOException>(async () => await broker.VerifiesAsync("bob", "secret", default));
        Assert.False(await broker.VerifiesAsync("carol", "secret", default));
        Assert.True(broker.Authorizer.Decide("User:alice", "", AccessOperation.Read, ResourceType.Topic, "orders").IsAllowed);
        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await broker.CreateAclsAsync([Rule with { Host = "a" }]));
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, refused.Code);
    }

    [Fact]
    public async Task Broker_that_opens_without_the_store_allows_super_users_alone_until_it_answers()
    {
        await using (var before = await OpenAsync())
            await before.CreateAclsAsync([Rule]);
        _store.ReadsFail = true;
        await using var broker = await OpenAsync();
        Assert.False(Allows("User:alice"));
        Assert.True(Allows("User:admin"));
        _store.ReadsFail = false;
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!Allows("User:alice"))
            await Task.Delay(10, patience.Token);

        bool Allows(string principal) =>
            broker.Authorizer.Decide(principal, "", AccessOperation.Read, ResourceType.Topic, "orders").IsAllowed;
    }

    [Theory]
    [InlineData((int)WriteFate.Fails)]
    [InlineData((int)WriteFate.Unclear)]
    public async Task User_change_that_fails_between_its_writes_can_be_repeated(int fate)
    {
        await using var broker = await OpenAsync();
        await broker.AlterUserAsync(Password("alice", "old"));
        foreach (var failing in new[] { UserDocument.KeyOf("alice"), SecurityDocument.Key })
        {
            _store.Fate = key => key == failing ? (WriteFate)fate : WriteFate.Stored;
            var refused = await Assert.ThrowsAsync<BrokerException>(async () => await broker.AlterUserAsync(Password("alice", "new")));
            Assert.Equal(ErrorCode.CoordinatorNotAvailable, refused.Code);
            _store.Fate = static _ => WriteFate.Stored;
            await broker.AlterUserAsync(Password("alice", "new"));
            Assert.True(await broker.VerifiesAsync("alice", "new", default));
            Assert.False(await broker.VerifiesAsync("alice", "old", default));
        }
    }

    [Fact]
    public async Task Deleted_user_does_not_come_back_with_a_credential_of_before()
    {
        await using var broker = await OpenAsync();
        await broker.AlterUserAsync(Password("alice", "old"));
        // The name goes, the credentials stay: a crash between the two.
        _store.Fate = static key => key == SecurityDocument.Key ? WriteFate.Stored : WriteFate.Fails;
        await broker.DeleteUserAsync("alice");
        _store.Fate = static _ => WriteFate.Stored;
        Assert.False(await broker.VerifiesAsync("alice", "old", default));

        await broker.AlterUserAsync(new UserChange("alice", [], [ScramCredential.Create(ScramMechanism.Sha512, "new")]));
        Assert.Null(await broker.FindAsync("alice", ScramMechanism.Sha256, default));
        Assert.Equal([new ScramDescription(ScramMechanism.Sha512, 4_096)], (await broker.DescribeUsersAsync(null))[0].Credentials);
    }

    [Fact]
    public async Task Brokers_that_change_at_once_lose_no_rule_and_no_user()
    {
        await using var first = await OpenAsync(isAlone: false);
        await using var second = await OpenAsync(isAlone: false);
        await Task.WhenAll(Enumerable.Range(0, 20).Select(number => Task.Run(async () =>
        {
            var broker = number % 2 == 0 ? first : second;
            await broker.CreateAclsAsync([Rule with { ResourceName = $"t{number}" }]);
            if (number < 6)
                await broker.AlterUserAsync(new UserChange($"u{number}", [], [ScramCredential.Create(ScramMechanism.Sha256, "x")]));
        })));
        await using var third = await OpenAsync();
        Assert.Equal(20, third.ListAcls(new AclFilter()).Count);
        Assert.Equal(["u0", "u1", "u2", "u3", "u4", "u5"], (await third.DescribeUsersAsync(null)).Select(static user => user.Name));
    }

    [Fact]
    public async Task Unknown_user_and_credential_cannot_be_removed()
    {
        await using var broker = await OpenAsync();
        await AssertCodeAsync(ErrorCode.ResourceNotFound, () => broker.DeleteUserAsync("alice"));
        await broker.AlterUserAsync(new UserChange("alice", [], [ScramCredential.Create(ScramMechanism.Sha512, "x")]));
        await AssertCodeAsync(ErrorCode.ResourceNotFound,
            () => broker.AlterUserAsync(new UserChange("alice", [ScramMechanism.Sha256], [])));
        await broker.AlterUserAsync(new UserChange("alice", [ScramMechanism.Sha512], []));
        Assert.Equal([], await broker.DescribeUsersAsync(null));
        Assert.False(broker.Has("alice"));
    }

    [Fact]
    public async Task Limits_and_malformed_changes_are_refused()
    {
        await using var broker = await OpenAsync(new SecurityOptions { MaxAcls = 2, MaxUsers = 1 });
        await broker.CreateAclsAsync([Rule, Rule, Rule with { Host = "a" }]);
        await AssertCodeAsync(ErrorCode.PolicyViolation, () => broker.CreateAclsAsync([Rule with { Host = "b" }]));
        await AssertCodeAsync(ErrorCode.InvalidRequest, () => broker.CreateAclsAsync([Rule with { Principal = "alice" }]));
        await broker.AlterUserAsync(Password("alice", "x"));
        await AssertCodeAsync(ErrorCode.PolicyViolation, () => broker.AlterUserAsync(Password("bob", "x")));
        await AssertCodeAsync(ErrorCode.UnacceptableCredential, () => broker.AlterUserAsync(Password("a\nb", "x")));
        var weak = ScramCredential.Create(ScramMechanism.Sha256, "x") with { Iterations = 4_095 };
        await AssertCodeAsync(ErrorCode.UnacceptableCredential, () => broker.AlterUserAsync(new UserChange("alice", [], [weak])));
    }

    [Fact]
    public async Task Authorizer_decides_anew_after_each_change_and_never_for_the_process_itself()
    {
        await using var broker = await OpenAsync();
        var (authorizer, alice) = (broker.Authorizer, new BrokerSession("User:alice", "", "", "10.0.0.7", SessionProtocol.Kafka));
        var version = authorizer.Version;
        Assert.False(authorizer.Allows(alice, AccessOperation.Read, ResourceType.Topic, "orders"));
        await broker.CreateAclsAsync([Rule]);
        Assert.NotEqual(version, authorizer.Version);
        Assert.True(authorizer.Allows(alice, AccessOperation.Read, ResourceType.Topic, "orders"));
        Assert.True(authorizer.Allows(BrokerSession.InProcess, AccessOperation.Alter, ResourceType.Cluster, ResourceTypes.Cluster));
        version = authorizer.Version;
        await broker.AlterUserAsync(Password("alice", "x"));
        // Users change no decision: sessions keep theirs.
        Assert.Equal(version, authorizer.Version);
    }

    [Fact]
    public void Dry_run_allows_all_and_counts_what_it_would_refuse()
    {
        var authorizer = new AclAuthorizer(new SecurityOptions { Authorization = AuthorizationMode.Warn }, EngineLog.Silent,
            TimeProvider.System);
        var alice = new BrokerSession("User:alice", "", "", "10.0.0.7", SessionProtocol.Kafka);
        Assert.True(authorizer.Allows(alice, AccessOperation.Read, ResourceType.Topic, "orders"));
        Assert.Equal(1, authorizer.Warned);
    }

    [Fact]
    public void Resource_without_rules_is_open_where_that_is_set()
    {
        var authorizer = new AclAuthorizer(new SecurityOptions { Authorization = AuthorizationMode.Enforce,
            AllowEveryoneIfNoAclFound = true }, EngineLog.Silent, TimeProvider.System) { Image = new AclImage([Rule]) };
        Assert.True(authorizer.Decide("User:bob", "", AccessOperation.Read, ResourceType.Topic, "other").IsAllowed);
        Assert.False(authorizer.Decide("User:bob", "", AccessOperation.Read, ResourceType.Topic, "orders").IsAllowed);
    }

    private async Task<BrokerSecurity> OpenAsync(SecurityOptions? options = null, bool isAlone = true)
    {
        options ??= new SecurityOptions { Authorization = AuthorizationMode.Enforce, SuperUsers = ["User:admin"] };
        var broker = new BrokerSecurity(() => _store, options, new AclAuthorizer(options, EngineLog.Silent, TimeProvider.System),
            EngineLog.Silent, TimeProvider.System);
        await broker.OpenAsync(follows: !isAlone);
        return broker;
    }

    private static async Task HearAsync(BrokerSecurity broker, BrokerSecurity from)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!broker.Hear(from.Version))
            await Task.Delay(5, patience.Token);
    }

    private static UserChange Password(string user, string password) => BrokerSecurity.OfPassword(user, password);

    private static async Task AssertCodeAsync(ErrorCode code, Func<ValueTask> call) =>
        Assert.Equal(code, (await Assert.ThrowsAsync<BrokerException>(async () => await call())).Code);
}
