using System.Diagnostics;
using System.Text;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Security;
using OrleansMq.VirtualHosts;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Engine.VirtualHosts;

public sealed class VirtualHostOwnerTests(ITestOutputHelper output)
{
    private const string Host = VirtualHostCatalogue.DefaultHost;
    private readonly MemoryStateStore _store = new();

    [Fact]
    public async Task New_installation_has_the_default_host_and_guest_and_deleted_ones_stay_deleted()
    {
        await using (var hosts = await OpenAsync())
        {
            Assert.Equal([Host], hosts.Names.ToArray());
            var guest = hosts.Users.FindUser(UserState.Guest)!;
            Assert.True(UserState.MayLogIn(guest, "guest", isLoopback: true));
            Assert.False(UserState.MayLogIn(guest, "guest", isLoopback: false));
            Assert.Equal(["administrator"], guest.Tags.ToArray());
            Assert.Null(hosts.Find(Host)!.AccessOf(guest).CheckReadQueue("q"));
            await hosts.AdministerAsync(new DeleteUser(UserState.Guest));
            await hosts.AdministerAsync(new DeleteVirtualHost(Host));
            Assert.Null(hosts.Find(Host));
        }
        await using var again = await OpenAsync();
        Assert.Empty(again.Names);
        Assert.Null(again.Users.FindUser(UserState.Guest));
        Assert.Equal([VirtualHostIndex.Key], _store.Keys);
    }

    [Fact]
    public async Task Enforced_installation_begins_with_its_administrator_and_no_other_user_takes_a_super_users_name()
    {
        var enforced = new SecurityOptions
        {
            Authorization = AuthorizationMode.Enforce,
            SuperUsers = ["User:root"],
            AdminPassword = "secret",
        };
        await using var hosts = await VirtualHostOwners.OpenAsync(_store, EngineLog.Silent, AmqpUserRules.Of(enforced));
        Assert.Null(hosts.Users.FindUser(UserState.Guest));
        var admin = hosts.Users.FindUser("admin")!;
        Assert.True(UserState.MayLogIn(admin, "secret", isLoopback: false));
        Assert.Equal(["administrator"], admin.Tags.ToArray());
        Assert.Null(hosts.Find(Host)!.AccessOf(admin).CheckReadQueue("q"));
        foreach (var command in new VirtualHostAdministration[] { new PutUser("root", "", PasswordHash.Sha256, []),
            new ImportDefinitions("{\"users\":[{\"name\":\"ann\",\"password_hash\":\"\"},{\"name\":\"root\",\"password_hash\":\"\"}]}"u8
                .ToArray()) })
            Assert.Contains("'root' is a super user", (await Assert.ThrowsAsync<DefinitionsException>(async () =>
                await hosts.AdministerAsync(command))).Message, StringComparison.Ordinal);
        Assert.Null(hosts.Users.FindUser("ann"));
        await hosts.AdministerAsync(new PutUser("admin", PasswordHash.Create("other", [1, 2, 3, 4]), PasswordHash.Sha256, []));
    }

    [Fact]
    public async Task Virtual_host_with_a_limit_takes_no_further_queue()
    {
        await using var hosts = await OpenAsync();
        Assert.Contains("0 or more", (await Assert.ThrowsAsync<DefinitionsException>(async () =>
            await hosts.AdministerAsync(new SetQueueLimit(Host, -2)))).Message, StringComparison.Ordinal);
        await hosts.AdministerAsync(new SetQueueLimit(Host, 1));
        await DeclareAsync("one");
        await DeclareAsync("one");
        Assert.Equal("cannot declare queue 'two': queue limit in vhost '/' (1) is reached",
            (await Assert.ThrowsAsync<AmqpRefusedException>(() => DeclareAsync("two"))).Refusal.Text);
        await hosts.AdministerAsync(VirtualHostAdministration.Parse(new SetQueueLimit(Host, null).ToBytes()));
        await DeclareAsync("two");

        async Task DeclareAsync(string name) => await hosts.SendAsync(Host, new DeclareQueue(new QueueDeclaration
        {
            Name = name,
            Durable = true,
        }, "c"));
    }

    [Fact]
    public async Task Limit_of_connections_is_stored_until_it_is_cleared()
    {
        await using (var hosts = await OpenAsync())
        {
            Assert.Contains("0 or more", (await Assert.ThrowsAsync<DefinitionsException>(async () =>
                await hosts.AdministerAsync(new SetConnectionLimit(Host, -2)))).Message, StringComparison.Ordinal);
            await hosts.AdministerAsync(VirtualHostAdministration.Parse(new SetConnectionLimit(Host, 3).ToBytes()));
            await hosts.AdministerAsync(new SetQueueLimit(Host, 5));
            await hosts.AdministerAsync(new PutVirtualHost(Host));
        }
        await using (var again = await OpenAsync())
        {
            Assert.Equal((3, 5), (again.Find(Host)!.Settings.MaxConnections, again.Find(Host)!.Settings.MaxQueues));
            await again.AdministerAsync(VirtualHostAdministration.Parse(new SetConnectionLimit(Host, null).ToBytes()));
        }
        await using var cleared = await OpenAsync();
        Assert.Equal(((int?)null, 5), (cleared.Find(Host)!.Settings.MaxConnections, cleared.Find(Host)!.Settings.MaxQueues));
    }

    [Fact]
    public async Task Imported_limits_replace_those_of_a_virtual_host()
    {
        await using var hosts = await OpenAsync();
        await hosts.AdministerAsync(new SetQueueLimit(Host, 5));
        await hosts.AdministerAsync(new ImportDefinitions("""
            {"parameters":[{"vhost":"/","component":"vhost-limits","name":"limits","value":{"max-connections":3}}]}
            """u8.ToArray()));
        Assert.Equal((3, (int?)null), (hosts.Find(Host)!.Settings.MaxConnections, hosts.Find(Host)!.Settings.MaxQueues));
        await hosts.AdministerAsync(new ImportDefinitions("{}"u8.ToArray()));
        Assert.Equal(3, hosts.Find(Host)!.Settings.MaxConnections);
    }

    [Fact]
    public async Task Installation_without_enforced_rules_begins_with_guest_whoever_its_administrator_is()
    {
        await using var hosts = await VirtualHostOwners.OpenAsync(_store, EngineLog.Silent, AmqpUserRules.Of(new SecurityOptions
        {
            Authorization = AuthorizationMode.Warn,
            AdminPassword = "secret",
        }));
        Assert.NotNull(hosts.Users.FindUser(UserState.Guest));
        await hosts.AdministerAsync(new PutUser("admin", "", PasswordHash.Sha256, []));
    }

    [Fact]
    public async Task Declare_is_one_write_and_is_in_the_image_once_it_is_answered()
    {
        await using var hosts = await OpenAsync();
        var changes = new List<VirtualHostChange>();
        hosts.Changed += changes.Add;
        _store.Writes.Clear();
        var answer = await hosts.SendAsync(Host, Declare("orders"));
        Assert.Equal([VirtualHostShard.KeyOf(Host, VirtualHostShard.Of("orders"))], _store.Writes);
        Assert.Equal("orders", answer.Queue?.Name);
        var image = hosts.Find(Host)!;
        Assert.Equal(answer.Queue, image.Topology.FindQueue("orders"));
        Assert.Equal(["orders"], Route(image, "", "orders"));
        Assert.True(answer.IsChanged);
        Assert.Equal(image.Version, answer.Version);
        Assert.Same(image, Assert.Single(changes).After);

        _store.Writes.Clear();
        Assert.False((await hosts.SendAsync(Host, Declare("orders"))).IsChanged);
        await hosts.SendAsync(Host, new DeclareQueue(new QueueDeclaration { Name = "mine", Exclusive = true, Durable = true }, "c1"));
        Assert.Empty(_store.Writes);
        var locked = await Assert.ThrowsAsync<AmqpRefusedException>(async () => await hosts.SendAsync(Host,
            new DeclareQueue(new QueueDeclaration { Name = "mine", Exclusive = true }, "c2")));
        Assert.Equal(AmqpCode.ResourceLocked, locked.Refusal.Code);

        await hosts.SendAsync(Host, new EndConnection("c1"));
        Assert.Equal("mine", Assert.Single(changes[^1].EndedQueues()).Name);
        Assert.Null(hosts.Find(Host)!.Topology.FindQueue("mine"));
    }

    [Fact]
    public async Task Queue_without_a_name_gets_one_that_no_other_has()
    {
        await using var hosts = await OpenAsync();
        var first = await hosts.SendAsync(Host, Declare(""));
        var second = await hosts.SendAsync(Host, Declare(""));
        Assert.StartsWith(VirtualHostTopology.GeneratedPrefix, first.Queue!.Name, StringComparison.Ordinal);
        Assert.Equal(VirtualHostTopology.GeneratedPrefix.Length + 22, first.Queue.Name.Length);
        Assert.NotEqual(first.Queue.Name, second.Queue!.Name);
    }

    [Fact]
    public async Task Queue_with_another_id_than_expected_stays()
    {
        await using var hosts = await OpenAsync();
        var queue = (await hosts.SendAsync(Host, Declare("q"))).Queue!;
        Assert.False((await hosts.SendAsync(Host, new DeleteQueue("q", null, queue.Id + 1))).IsChanged);
        Assert.False((await hosts.SendAsync(Host, new EndQueue("q", queue.Id + 1))).IsChanged);
        Assert.NotNull(hosts.Find(Host)!.Topology.FindQueue("q"));
        Assert.Equal(queue, (await hosts.SendAsync(Host, new DeleteQueue("q", null, queue.Id))).Queue);
        Assert.Null(hosts.Find(Host)!.Topology.FindQueue("q"));
    }

    [Fact]
    public async Task Commands_that_wait_share_the_write_of_a_shard()
    {
        await using var hosts = await OpenAsync();
        var gate = new TaskCompletionSource();
        _store.Gate = _ => gate.Task;
        var first = hosts.SendAsync(Host, Declare("first")).AsTask();
        _store.Writes.Clear();
        Task[] others = [.. Enumerable.Range(0, 500).Select(number => hosts.SendAsync(Host, Declare($"q{number}")).AsTask())];
        Assert.Null(hosts.Find(Host)!.Topology.FindQueue("first"));
        gate.SetResult();
        await first;
        await Task.WhenAll(others);
        Assert.Equal(501, hosts.Find(Host)!.Topology.QueueCount);
        // Once for the first, then each shard for all that came meanwhile; the first may have had to wait for those before it.
        Assert.True(_store.Writes.Count <= 2 * VirtualHostShard.Count, $"{_store.Writes.Count} writes");
        Assert.Equal(_store.Writes.Count, _store.Writes.Count(key => key.StartsWith(VirtualHostShard.StoreType, StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Refusal_waits_for_what_it_reveals()
    {
        await using var hosts = await OpenAsync();
        var gate = new TaskCompletionSource();
        _store.Gate = _ => gate.Task;
        var declared = hosts.SendAsync(Host, Declare("q")).AsTask();
        var refused = hosts.SendAsync(Host, new DeclareQueue(new QueueDeclaration { Name = "q", Durable = false }, "c")).AsTask();
        Assert.False(refused.IsCompleted);
        _store.Fate = _ => WriteFate.Fails;
        gate.SetResult();
        await Assert.ThrowsAsync<BrokerException>(() => declared);
        await Assert.ThrowsAsync<BrokerException>(() => refused);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Failed_write_is_answered_as_unknown_and_the_stored_state_decides(bool isStored)
    {
        await using var hosts = await OpenAsync();
        await hosts.SendAsync(Host, Declare("kept"));
        await hosts.SendAsync(Host, new DeclareQueue(new QueueDeclaration { Name = "mine", Exclusive = true }, "c1"));
        var version = hosts.Find(Host)!.Version;
        _store.Fate = _ => isStored ? WriteFate.Unclear : WriteFate.Fails;
        var unknown = await Assert.ThrowsAsync<BrokerException>(async () => await hosts.SendAsync(Host, Declare("q")));
        Assert.True(unknown.Code.Action() == ErrorAction.Retry);
        Assert.Null(hosts.Find(Host)!.Topology.FindQueue("q"));
        _store.Fate = _ => WriteFate.Stored;

        var image = await hosts.RefreshAsync(Host);
        Assert.Equal(isStored, image!.Topology.FindQueue("q") is not null);
        Assert.NotNull(image.Topology.FindQueue("kept"));
        Assert.NotNull(image.Topology.FindQueue("mine"));
        Assert.True(image.Version > version);
        Assert.Equal(!isStored, (await hosts.SendAsync(Host, Declare("q"))).IsChanged);
    }

    [Fact]
    public async Task Write_that_arrives_late_changes_nothing_that_was_answered()
    {
        await using var hosts = await OpenAsync();
        await hosts.SendAsync(Host, Declare("q"));
        _store.Fate = _ => WriteFate.Late;
        await Assert.ThrowsAsync<BrokerException>(async () => await hosts.SendAsync(Host, new DeleteQueue("q", null)));
        _store.Fate = _ => WriteFate.Stored;
        // The queue is found, and needs no write.
        Assert.False((await hosts.SendAsync(Host, Declare("q"))).IsChanged);
        Assert.Equal(0, _store.ArriveLate());
        await using var again = await OpenAsync(_store.Copy());
        Assert.NotNull(again.Find(Host)!.Topology.FindQueue("q"));
    }

    [Fact]
    public async Task Store_that_cannot_be_read_refuses_commands_until_it_can()
    {
        await using var hosts = await OpenAsync();
        await hosts.SendAsync(Host, Declare("q"));
        (_store.Fate, _store.ReadsFail) = (_ => WriteFate.Fails, true);
        for (var attempt = 0; attempt < 3; attempt++)
            await Assert.ThrowsAsync<BrokerException>(async () => await hosts.SendAsync(Host, Declare("other")));
        Assert.NotNull(hosts.Find(Host)!.Topology.FindQueue("q"));
        (_store.Fate, _store.ReadsFail) = (_ => WriteFate.Stored, false);
        Assert.True((await hosts.SendAsync(Host, Declare("other"))).IsChanged);
    }

    [Fact]
    public async Task Later_owner_ends_the_earlier_one()
    {
        await using var installed = await OpenAsync();
        await installed.DisposeAsync();
        await using var first = await OwnAsync(_store);
        await first.SendAsync(Declare("q"));
        await first.SendAsync(new DeclareQueue(new QueueDeclaration { Name = "mine", Exclusive = true }, "c1"));
        await using var second = await OwnAsync(_store, first.Image.Topology);
        Assert.Equal(first.Epoch + 1, second.Epoch);
        Assert.True(second.Image.Version > first.Image.Version);
        Assert.NotNull(second.Image.Topology.FindQueue("mine"));

        // A shard that the second has claimed, one without a document, an answer without a write, and again.
        await Assert.ThrowsAsync<BrokerException>(() => first.SendAsync(new DeleteQueue("q", null)));
        foreach (var command in new VirtualHostCommand[] { Declare("new"), Declare("q"), new DeleteQueue("q", null) })
            await Assert.ThrowsAsync<BrokerException>(() => first.SendAsync(command));
        Assert.True(first.Ended.IsCompleted);
        Assert.False((await second.SendAsync(Declare("q"))).IsChanged);
    }

    [Theory]
    [InlineData("new")]
    [InlineData("q")]
    public async Task Earlier_owner_answers_nothing_once_the_later_one_has_claimed(string queue)
    {
        await (await OpenAsync()).DisposeAsync();
        await using var first = await OwnAsync(_store);
        await first.SendAsync(Declare("q"));
        await using var second = await OwnAsync(_store, first.Image.Topology);
        await second.SendAsync(new DeleteQueue("q", null));
        // The first does not know of the second yet.
        await Assert.ThrowsAsync<BrokerException>(() => first.SendAsync(Declare(queue)));
        Assert.Null(second.Image.Topology.FindQueue("q"));
        Assert.True((await second.SendAsync(Declare("new"))).IsChanged);
        Assert.NotNull(second.Image.Topology.FindQueue("new"));
    }

    [Fact]
    public async Task Deleted_host_takes_all_documents_along_and_a_new_one_has_later_versions()
    {
        await using var hosts = await OpenAsync();
        var changes = new List<VirtualHostChange>();
        hosts.Changed += changes.Add;
        await hosts.AdministerAsync(new PutVirtualHost("team", UserState.Guest) { Description = "A team's." });
        Assert.Null(hosts.Find("team")!.AccessOf(hosts.Users.FindUser(UserState.Guest)!).CheckReadQueue("q"));
        for (var queue = 0; queue < 20; queue++)
            await hosts.SendAsync("team", Declare($"q{queue}"));
        var version = hosts.Find("team")!.Version;
        Assert.True((await hosts.AdministerAsync(new DeleteVirtualHost("team"))).IsChanged);
        Assert.Equal(20, changes[^1].EndedQueues().Count());
        Assert.DoesNotContain(_store.Keys, key => key.EndsWith("/team", StringComparison.Ordinal));
        Assert.False((await hosts.AdministerAsync(new DeleteVirtualHost("team"))).IsChanged);
        var missing = await Assert.ThrowsAsync<AmqpRefusedException>(async () => await hosts.SendAsync("team", Declare("q")));
        Assert.Equal("NOT_ALLOWED - vhost team not found", missing.Message);
        await hosts.AdministerAsync(new PutVirtualHost("team"));
        Assert.True(hosts.Find("team")!.Version > version);
        Assert.Equal(0, hosts.Find("team")!.Topology.QueueCount);
    }

    // A crash after any write of a deletion: it is repeated, and nothing is left.
    [Fact]
    public async Task Deletion_that_fails_after_any_write_is_completed_when_it_is_repeated()
    {
        for (var writes = 0; ; writes++)
        {
            var store = new MemoryStateStore();
            await using var hosts = await OpenAsync(store);
            await hosts.AdministerAsync(new PutVirtualHost("team"));
            for (var queue = 0; queue < 5; queue++)
                await hosts.SendAsync("team", Declare($"q{queue}"));
            var left = writes;
            store.Fate = _ => --left >= 0 ? WriteFate.Stored : WriteFate.Fails;
            var isDone = true;
            try
            {
                await hosts.AdministerAsync(new DeleteVirtualHost("team"));
            }
            catch (BrokerException)
            {
                isDone = false;
            }
            var copy = store.Copy();
            await using var again = await OpenAsync(copy);
            await again.AdministerAsync(new DeleteVirtualHost("team"));
            Assert.DoesNotContain(copy.Keys, key => key.EndsWith("/team", StringComparison.Ordinal));
            Assert.Equal([Host], again.Names.ToArray());
            if (isDone)
                break;
            store.Fate = _ => WriteFate.Stored;
            await hosts.AdministerAsync(new DeleteVirtualHost("team"));
            Assert.DoesNotContain(store.Keys, key => key.EndsWith("/team", StringComparison.Ordinal));
        }
    }

    [Fact]
    public async Task Permissions_and_policies_survive_and_take_effect_at_once()
    {
        await using (var hosts = await OpenAsync())
        {
            await Assert.ThrowsAsync<AmqpRefusedException>(async () => await hosts.AdministerAsync(Permissions("ann")));
            await hosts.AdministerAsync(new PutUser("ann", PasswordHash.Create("secret", [1, 2, 3, 4]), PasswordHash.Sha256,
                ["monitoring"]));
            await hosts.AdministerAsync(Permissions("ann"));
            Assert.Null(hosts.Find(Host)!.AccessOf(hosts.Users.FindUser("ann")!).CheckReadQueue("ann.q"));
            await Assert.ThrowsAsync<DefinitionsException>(async () => await hosts.AdministerAsync(new SetPolicy(Host, new Policy
            {
                Name = "p",
                Pattern = SafePattern.Everything,
                Definition = FieldTable.Of(("max-length", new TextValue("many"))),
            })));
            await hosts.SendAsync(Host, new DeclareExchange(new ExchangeDeclaration { Name = "x", Durable = true }));
            await hosts.SendAsync(Host, Declare("unrouted"));
            await hosts.AdministerAsync(new SetPolicy(Host, new Policy
            {
                Name = "p",
                Pattern = SafePattern.Parse("^x$"),
                Definition = FieldTable.Of((ExchangeTypes.Alternate, new TextValue("amq.fanout"))),
            }));
            await hosts.SendAsync(Host, new Bind(new BindingRequest("amq.fanout", DestinationKind.Queue, "unrouted"), null));
            Assert.Equal(["unrouted"], Route(hosts.Find(Host)!, "x", "nowhere"));
        }
        await using var again = await OpenAsync();
        Assert.Equal(["unrouted"], Route(again.Find(Host)!, "x", "nowhere"));
        var user = again.Users.FindUser("ann")!;
        Assert.True(UserState.MayLogIn(user, "secret", isLoopback: false));
        Assert.NotNull(again.Find(Host)!.AccessOf(user).CheckReadQueue("bob.q"));
        await again.AdministerAsync(new ClearPolicy(Host, "p"));
        Assert.Empty(Route(again.Find(Host)!, "x", "nowhere"));
        // A new user of the name has none of the permissions.
        await again.AdministerAsync(new DeleteUser("ann"));
        await again.AdministerAsync(new PutUser("ann", "", PasswordHash.Sha256, []));
        Assert.NotNull(again.Find(Host)!.AccessOf(again.Users.FindUser("ann")!).CheckReadQueue("ann.q"));

        static SetPermissions Permissions(string user) => new(Host, user, SafePattern.Everything, SafePattern.Everything,
            SafePattern.Parse("^ann"));
    }

    [Fact]
    public async Task Definitions_are_imported_as_a_whole_or_not_at_all()
    {
        await using var hosts = await OpenAsync();
        var wrong = Encoding.UTF8.GetBytes("""
            {"users":[{"name":"eve","password_hash":"","tags":[]}],"vhosts":[{"name":"new"}],
             "bindings":[{"vhost":"/","source":"none","destination":"q","destination_type":"queue","routing_key":""}]}
            """);
        await Assert.ThrowsAsync<DefinitionsException>(async () => await hosts.AdministerAsync(new ImportDefinitions(wrong)));
        Assert.Null(hosts.Users.FindUser("eve"));
        Assert.Equal([Host], hosts.Names.ToArray());
        var right = Encoding.UTF8.GetBytes("""
            {"users":[{"name":"eve","password_hash":"","tags":["management"]}],"vhosts":[{"name":"new"},{"name":"/"}],
             "permissions":[{"user":"eve","vhost":"new","configure":".*","write":".*","read":".*"}],
             "exchanges":[{"name":"x","vhost":"new","type":"topic","durable":true,"auto_delete":false,"internal":false,"arguments":{}}],
             "queues":[{"name":"q","vhost":"new","durable":true,"arguments":{"x-max-length":5}},{"name":"r","vhost":"/","durable":true}],
             "bindings":[{"vhost":"new","source":"x","destination":"q","destination_type":"queue","routing_key":"a.#","arguments":{}}],
             "global_parameters":[{"name":"cluster_name","value":"c"}]}
            """);
        var answer = await hosts.AdministerAsync(new ImportDefinitions(right));
        Assert.Single(answer.Ignored);
        await hosts.AdministerAsync(new ImportDefinitions(right));
        await using var again = await OpenAsync(_store.Copy());
        foreach (var opened in new[] { hosts, again })
        {
            Assert.Equal([Host, "new"], opened.Names.ToArray());
            Assert.Equal(["q"], Route(opened.Find("new")!, "x", "a.b.c"));
            Assert.NotNull(opened.Find(Host)!.Topology.FindQueue("r"));
            Assert.Null(opened.Find("new")!.AccessOf(opened.Users.FindUser("eve")!).CheckReadQueue("q"));
        }
    }

    [Fact]
    public void Commands_are_the_same_after_their_way_as_json()
    {
        VirtualHostCommand[] commands =
        [
            new DeclareExchange(new ExchangeDeclaration { Name = "x", Type = ExchangeTypes.Headers, Durable = true,
                Arguments = FieldTable.Of(("alternate-exchange", new TextValue("y")), ("n", new IntegerValue(3, IntegerKind.UInt8))) }),
            new DeleteExchange("x", IfUnused: true),
            new Bind(new BindingRequest("x", DestinationKind.Exchange, "y", "k", FieldTable.Of(("v", VoidValue.Instance))), "c1"),
            new Unbind(new BindingRequest("x", DestinationKind.Queue, "q"), null),
            new DeclareQueue(new QueueDeclaration { Name = "q", Exclusive = true, AutoDelete = true }, "c1"),
            new DeleteQueue("q", "c1", 5), new EndQueue("q", -7), new EndConnection("c1"),
        ];
        Assert.Equal(commands, commands.Select(command => VirtualHostCommand.Parse(command.ToBytes())));
        var policy = new SetPolicy(Host, new Policy { Name = "p", Pattern = SafePattern.Parse("^x"), ApplyTo = PolicyTarget.Streams });
        Assert.Equal(policy, VirtualHostAdministration.Parse(policy.ToBytes()));
        var user = (PutUser)VirtualHostAdministration.Parse(new PutUser("u", "h", PasswordHash.Sha512, ["a"]).ToBytes());
        Assert.Equal(["a"], user.Tags.ToArray());
    }

    [Fact]
    public async Task Standalone_broker_keeps_virtual_hosts_over_a_restart()
    {
        var data = Directory.CreateTempSubdirectory("omq-vhosts-").FullName;
        try
        {
            for (var round = 0; round < 2; round++)
            {
                await using var broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = data });
                var hosts = await broker.OpenVirtualHostsAsync();
                Assert.Same(hosts, await broker.OpenVirtualHostsAsync());
                Assert.Equal(round == 0, (await hosts.SendAsync(Host, Declare("q"))).IsChanged);
                Assert.Equal(round == 0, (await hosts.SendAsync(Host,
                    new Bind(new BindingRequest("amq.topic", DestinationKind.Queue, "q", "a.*"), null))).IsChanged);
                Assert.Equal(["q"], Route(hosts.Find(Host)!, "amq.topic", "a.b"));
            }
        }
        finally
        {
            Directory.Delete(data, recursive: true);
        }
    }

    [Fact]
    public async Task Large_host_is_declared_bound_and_opened()
    {
        const int queues = 10_000;
        const int bindings = 10;
        await using (var hosts = await OpenAsync())
        {
            await hosts.SendAsync(Host, new DeclareExchange(new ExchangeDeclaration
            {
                Name = "events",
                Type = ExchangeTypes.Topic,
                Durable = true,
            }));
            var watch = Stopwatch.StartNew();
            await Task.WhenAll(Enumerable.Range(0, queues).Select(queue => hosts.SendAsync(Host, Declare($"q{queue}")).AsTask()));
            output.WriteLine($"{queues} declares at once: {watch.Elapsed.TotalSeconds:f2} s, {_store.Writes.Count} writes");
            watch.Restart();
            await Task.WhenAll(Enumerable.Range(0, queues * bindings).Select(number => hosts.SendAsync(Host, new Bind(
                new BindingRequest("events", DestinationKind.Queue, $"q{number / bindings}", $"orders.{number}.*"), null)).AsTask()));
            output.WriteLine($"{queues * bindings} bindings at once: {watch.Elapsed.TotalSeconds:f2} s, {_store.Writes.Count} writes");
            watch.Restart();
            for (var queue = 0; queue < 1000; queue++)
                await hosts.SendAsync(Host, Declare($"late{queue}"));
            output.WriteLine($"1000 further declares, each after the other: {watch.Elapsed.TotalMilliseconds:f0} ms");
            Assert.Equal(["q777"], Route(hosts.Find(Host)!, "events", "orders.7777.x"));
        }
        var opening = Stopwatch.StartNew();
        await using var again = await OpenAsync();
        output.WriteLine($"opened in {opening.Elapsed.TotalSeconds:f2} s");
        Assert.Equal(queues + 1000, again.Find(Host)!.Topology.QueueCount);
        Assert.Equal(queues * bindings, again.Find(Host)!.Topology.Bindings.Count());
        Assert.Equal(["q777"], Route(again.Find(Host)!, "events", "orders.7777.x"));
    }

    internal static DeclareQueue Declare(string name, bool durable = true, bool autoDelete = false) =>
        new(new QueueDeclaration { Name = name, Durable = durable, AutoDelete = autoDelete }, HostRig.Connection);

    internal static IEnumerable<string> Route(VirtualHostImage image, string exchange, string key)
    {
        var collector = new RouteCollector();
        image.Routes.Route(exchange, new RoutedMessage(key, FieldTable.Empty), collector);
        return collector.Targets.Select(queue => queue.Name).Order(StringComparer.Ordinal);
    }

    internal static async Task<VirtualHostOwner> OwnAsync(MemoryStateStore store, VirtualHostTopology? newest = null) =>
        (await VirtualHostOwner.OpenAsync(store, Host, new VirtualHostOwnerOptions { IsShared = true }, newest))!;

    private Task<VirtualHostOwners> OpenAsync() => OpenAsync(_store);

    private static Task<VirtualHostOwners> OpenAsync(MemoryStateStore store) => VirtualHostOwners.OpenAsync(store, EngineLog.Silent);
}
