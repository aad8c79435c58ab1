using System.Security.Cryptography;
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
        Assert.True(await again.VerifiesAsync("alice", "secret", "", default));
        Assert.False(await again.VerifiesAsync("alice", "Secret", "", default));
        Assert.False(await again.VerifiesAsync("bob", "secret", "", default));
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
        Assert.True(await second.VerifiesAsync("alice", "old", "", default));

        await first.AlterUserAsync(Password("alice", "new"));
        await first.CreateAclsAsync([Rule]);
        await HearAsync(second, first);
        Assert.False(await second.VerifiesAsync("alice", "old", "", default));
        Assert.True(await second.VerifiesAsync("alice", "new", "", default));
        Assert.Equal([Rule], second.ListAcls(new AclFilter()));

        await first.DeleteUserAsync("alice");
        await first.DeleteAclsAsync([new AclFilter()]);
        await HearAsync(second, first);
        Assert.False(await second.VerifiesAsync("alice", "new", "", default));
        Assert.Equal([], second.ListAcls(new AclFilter()));
    }

    [Fact]
    public async Task Known_user_logs_in_and_rules_hold_while_the_store_is_away()
    {
        await using var broker = await OpenAsync();
        await broker.AlterUserAsync(Password("alice", "secret"));
        await broker.AlterUserAsync(Password("bob", "secret"));
        await broker.CreateAclsAsync([Rule]);
        Assert.True(await broker.VerifiesAsync("alice", "secret", "", default));
        _store.ReadsFail = true;
        Assert.True(await broker.VerifiesAsync("alice", "secret", "", default));
        // Nobody has read this one's credentials: the client tries again, it is not refused.
        await Assert.ThrowsAsync<IOException>(async () => await broker.VerifiesAsync("bob", "secret", "", default));
        Assert.True(broker.Authorizer.Decide("User:alice", "", AccessOperation.Read, ResourceType.Topic, "orders").IsAllowed);
        await AssertCodeAsync(ErrorCode.CoordinatorNotAvailable, () => broker.CreateAclsAsync([Rule with { Host = "10.0.0.1" }]));
    }

    [Fact]
    public async Task Password_that_was_taken_back_is_refused_while_the_store_is_away()
    {
        await using var first = await OpenAsync(isAlone: false);
        await using var second = await OpenAsync(isAlone: false);
        await first.AlterUserAsync(Password("alice", "leaked"));
        await HearAsync(second, first);
        Assert.True(await second.VerifiesAsync("alice", "leaked", "", default));
        await first.AlterUserAsync(Password("alice", "new"));
        await HearAsync(second, first);
        _store.ReadsFail = true;
        await Assert.ThrowsAsync<IOException>(async () => await second.VerifiesAsync("alice", "leaked", "", default));
    }

    [Fact]
    public async Task Missing_document_leaves_a_broker_that_has_read_it_as_it_was()
    {
        await using var broker = await OpenAsync(new SecurityOptions { Authorization = AuthorizationMode.Enforce,
            AllowEveryoneIfNoAclFound = true });
        await broker.CreateAclsAsync([Rule with { Permission = AclPermission.Deny }]);
        await _store.DeleteAsync(SecurityDocument.Key, (await _store.ReadAsync(SecurityDocument.Key))!.ETag);
        await AssertCodeAsync(ErrorCode.CoordinatorNotAvailable, () => broker.CreateAclsAsync([Rule]));
        Assert.False(broker.Authorizer.Decide("User:alice", "", AccessOperation.Read, ResourceType.Topic, "orders").IsAllowed);
    }

    [Fact]
    public async Task Restored_document_of_the_same_version_comes_into_force()
    {
        await using var broker = await OpenAsync(isAlone: false);
        var restored = _store.Copy();
        await broker.CreateAclsAsync([Rule]);
        await using var other = await OpenAsync(restored);
        await other.CreateAclsAsync([Rule with { ResourceName = "other" }]);
        Assert.Equal(broker.Version, other.Version);
        var document = (await restored.ReadAsync(SecurityDocument.Key))!;
        await _store.WriteAsync(SecurityDocument.Key, document.Value, (await _store.ReadAsync(SecurityDocument.Key))!.ETag);
        Assert.Empty(await broker.DescribeUsersAsync(null));
        Assert.Equal("other", Assert.Single(broker.ListAcls(new AclFilter())).ResourceName);
    }

    [Fact]
    public async Task Nobody_is_let_in_by_default_before_the_rules_are_read()
    {
        _store.ReadsFail = true;
        await using var broker = await OpenAsync(new SecurityOptions { Authorization = AuthorizationMode.Enforce,
            AllowEveryoneIfNoAclFound = true });
        var alice = new BrokerSession("User:alice", "", "", "", SessionProtocol.Kafka);
        Assert.False(broker.Authorizer.Allows(alice, AccessOperation.Read, ResourceType.Topic, "orders"));
        Assert.False(broker.Authorizer.AllowsAny(alice, AccessOperation.Write, ResourceType.Topic));
    }

    [Fact]
    public async Task Credential_that_is_set_while_another_is_removed_stays()
    {
        await using var first = await OpenAsync(isAlone: false);
        await using var second = await OpenAsync(isAlone: false);
        for (var round = 0; round < 20; round++)
        {
            var user = $"u{round}";
            await first.AlterUserAsync(new UserChange(user, [], [ScramCredential.Create(ScramMechanism.Sha256, "x")]));
            await Task.WhenAll(
                Task.Run(async () => await first.AlterUserAsync(new UserChange(user, [ScramMechanism.Sha256], []))),
                Task.Run(async () => await second.AlterUserAsync(new UserChange(user, [],
                    [ScramCredential.Create(ScramMechanism.Sha512, "y")]))));
            Assert.Equal([new ScramDescription(ScramMechanism.Sha512, 4_096)],
                Assert.Single(await second.DescribeUsersAsync([user])).Credentials);
        }
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
            Assert.True(await broker.VerifiesAsync("alice", "new", "", default));
            Assert.False(await broker.VerifiesAsync("alice", "old", "", default));
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
        Assert.False(await broker.VerifiesAsync("alice", "old", "", default));

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
        Assert.False(await broker.VerifiesAsync("alice", "x", "", default));
    }

    [Theory]
    [InlineData(8_192, 20)]
    [InlineData(16_384, 33)]
    [InlineData(4_096, 100)]
    public async Task User_that_does_not_exist_is_challenged_as_the_others_are(int iterations, int saltBytes)
    {
        await using var broker = await OpenAsync();
        foreach (var mechanism in new[] { ScramMechanism.Sha256, ScramMechanism.Sha512 })
            await broker.AlterUserAsync(new UserChange("alice", [], [Salted(mechanism, iterations, saltBytes)]));
        await broker.AlterUserAsync(new UserChange("bob", [], [Salted(ScramMechanism.Sha512, iterations, saltBytes)]));
        await using var other = await OpenAsync();
        foreach (var mechanism in new[] { ScramMechanism.Sha256, ScramMechanism.Sha512 })
        {
            // Bob has no credential for one of them.
            foreach (var user in new[] { "alice", "bob", "carol", "dave", "" })
            {
                var challenge = await broker.ChallengeAsync(user, mechanism, default);
                Assert.Equal((iterations, saltBytes, mechanism), (challenge.Iterations, challenge.Salt.Length, challenge.Mechanism));
                Assert.Equal(challenge.Salt, (await other.ChallengeAsync(user, mechanism, default)).Salt);
            }
        }

        static ScramCredential Salted(ScramMechanism mechanism, int iterations, int saltBytes) =>
            ScramCredential.FromSaltedPassword(mechanism, RandomNumberGenerator.GetBytes(saltBytes), iterations, [1, 2, 3]);
    }

    [Fact]
    public async Task Users_that_do_not_exist_share_the_iterations_of_all_that_do()
    {
        await using var broker = await OpenAsync();
        for (var index = 0; index < 20; index++)
            await broker.AlterUserAsync(BrokerSecurity.OfPassword($"user-{index}", "x", index % 2 == 0 ? 4_096 : 8_192));
        var before = await IterationsAsync();
        Assert.Equal([4_096, 8_192], before.Values.Distinct().Order());
        await broker.AlterUserAsync(Password("another", "x"));
        // A twentieth of them looks like the new user now.
        Assert.InRange((await IterationsAsync()).Count(one => before[one.Key] != one.Value), 0, 60);

        async Task<Dictionary<string, int>> IterationsAsync()
        {
            var found = new Dictionary<string, int>();
            for (var index = 0; index < 200; index++)
                found[$"none-{index}"] = (await broker.ChallengeAsync($"none-{index}", ScramMechanism.Sha256, default)).Iterations;
            return found;
        }
    }

    [Fact]
    public async Task User_that_does_not_exist_waits_for_the_store_as_the_others_do()
    {
        await using var writer = await OpenAsync();
        await writer.AlterUserAsync(Password("alice", "secret"));
        await using var broker = await OpenAsync();
        _store.ReadsFail = true;
        foreach (var user in new[] { "alice", "carol" })
        {
            await Assert.ThrowsAsync<IOException>(async () => await broker.ChallengeAsync(user, ScramMechanism.Sha512, default));
            await Assert.ThrowsAsync<IOException>(async () => await broker.VerifiesAsync(user, "secret", "", default));
        }
        _store.ReadsFail = false;
        Assert.False(await broker.VerifiesAsync("carol", "secret", "", default));
        Assert.True(await broker.VerifiesAsync("alice", "secret", "", default));
    }

    [Fact]
    public async Task Limits_and_malformed_changes_are_refused()
    {
        await using var broker = await OpenAsync(new SecurityOptions { MaxAcls = 2, MaxUsers = 1 });
        await broker.CreateAclsAsync([Rule, Rule, Rule with { Host = "10.0.0.1" }]);
        await AssertCodeAsync(ErrorCode.PolicyViolation, () => broker.CreateAclsAsync([Rule with { Host = "10.0.0.2" }]));
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
    public void Dry_run_allows_all_and_tells_what_it_would_refuse()
    {
        var authorizer = new AclAuthorizer(new SecurityOptions { Authorization = AuthorizationMode.Warn })
        {
            Image = new AclImage([Rule]),
        };
        var alice = new BrokerSession("User:alice", "", "", "10.0.0.7", SessionProtocol.Kafka);
        Assert.True(authorizer.Allows(alice, AccessOperation.Read, ResourceType.Topic, "orders"));
        Assert.False(authorizer.WouldRefuse(alice, AccessOperation.Read, ResourceType.Topic, "orders"));
        Assert.True(authorizer.Allows(alice, AccessOperation.Write, ResourceType.Topic, "orders"));
        Assert.True(authorizer.WouldRefuse(alice, AccessOperation.Write, ResourceType.Topic, "orders"));
        Assert.False(new AclAuthorizer(new SecurityOptions { Authorization = AuthorizationMode.Enforce })
            .WouldRefuse(alice, AccessOperation.Write, ResourceType.Topic, "orders"));
    }

    [Fact]
    public void User_of_amqp_with_a_super_users_name_has_the_rights_that_rules_give_it()
    {
        var authorizer = new AclAuthorizer(new SecurityOptions { Authorization = AuthorizationMode.Enforce, SuperUsers = ["User:admin"] })
        {
            Image = new AclImage([new AclRule(ResourceType.Topic, AclPattern.Literal, "orders", "User:admin", "*", AccessOperation.Read,
                AclPermission.Allow)]),
        };
        var amqp = new BrokerSession("User:admin", "", "", "10.0.0.7", SessionProtocol.Amqp);
        Assert.True(authorizer.Allows(amqp, AccessOperation.Read, ResourceType.Topic, "orders"));
        Assert.False(authorizer.Allows(amqp, AccessOperation.Write, ResourceType.Topic, "orders"));
        Assert.False(authorizer.AllowsAny(amqp, AccessOperation.Write, ResourceType.Topic));
        Assert.True(authorizer.Allows(amqp with { Protocol = SessionProtocol.Kafka }, AccessOperation.Write, ResourceType.Topic, "orders"));
    }

    [Fact]
    public void Resource_without_rules_is_open_where_that_is_set()
    {
        var authorizer = new AclAuthorizer(new SecurityOptions { Authorization = AuthorizationMode.Enforce,
            AllowEveryoneIfNoAclFound = true }) { Image = new AclImage([Rule]) };
        Assert.True(authorizer.Decide("User:bob", "", AccessOperation.Read, ResourceType.Topic, "other").IsAllowed);
        Assert.False(authorizer.Decide("User:bob", "", AccessOperation.Read, ResourceType.Topic, "orders").IsAllowed);
    }

    private async Task<BrokerSecurity> OpenAsync(SecurityOptions? options = null, bool isAlone = true)
    {
        options ??= new SecurityOptions { Authorization = AuthorizationMode.Enforce, SuperUsers = ["User:admin"] };
        var broker = new BrokerSecurity(() => _store, options, new AclAuthorizer(options), EngineLog.Silent, TimeProvider.System);
        await broker.OpenAsync(follows: !isAlone);
        return broker;
    }

    private static async Task<BrokerSecurity> OpenAsync(MemoryStateStore store)
    {
        var options = new SecurityOptions();
        var broker = new BrokerSecurity(() => store, options, new AclAuthorizer(options), EngineLog.Silent, TimeProvider.System);
        await broker.OpenAsync(follows: false);
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
