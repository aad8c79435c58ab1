using System.Collections.Concurrent;
using OrleansMq.State;
using OrleansMq.VirtualHosts;
using OrleansMq.Tests.Engine.Partitions;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Engine.VirtualHosts;

/// <summary>Several brokers with one owner of the virtual hosts at a time: owners that are replaced while they live, writes that fail or
/// come late, brokers that cannot be reached, and answers that must be seen everywhere.</summary>
public sealed class ClusterVirtualHostsTests(ITestOutputHelper output)
{
    private const string Host = VirtualHostCatalogue.DefaultHost;
    private const int Brokers = 3;

    [Fact]
    public async Task Answered_commands_are_seen_by_every_broker_and_survive_owners()
    {
        var seed = Seeds.Next();
        output.WriteLine(Seeds.Replay(seed));
        var random = new Random(seed);
        for (var round = 0; round < 25; round++)
            await RunAsync(random);
        output.WriteLine($"{_answered} answered, {_unknown} unknown, {_refused} refused, {_takeovers} takeovers, {_cutOff} cut off");
        Assert.True(_answered > 500 && _unknown > 20 && _takeovers > 40 && _cutOff > 20);
    }

    [Fact]
    public async Task Whole_image_and_changes_make_the_same_image()
    {
        var cluster = new TestCluster(new MemoryStateStore());
        await cluster.TakeOverAsync();
        var all = cluster.Brokers;
        var exchange = new ExchangeDeclaration { Name = "x", Type = ExchangeTypes.Topic, Durable = true };
        await all[0].SendAsync(Host, new DeclareExchange(exchange));
        for (var i = 0; i < 20; i++)
        {
            await all[i % Brokers].SendAsync(Host, VirtualHostOwnerTests.Declare($"q{i}", durable: i % 3 != 0));
            await all[i % Brokers].SendAsync(Host, new Bind(new BindingRequest("x", DestinationKind.Queue, $"q{i}", $"k.{i % 4}"), null));
        }
        foreach (var name in new[] { "q1", "q2", "q2", "q3" })
        {
            await all[0].SendAsync(Host, new AddConsumer(new QueueConsumer
            {
                Queue = name,
                QueueId = cluster.Image.Hosts[Host].Topology.FindQueue(name)!.Id,
                Id = Guid.NewGuid().ToString(),
                Connection = "c1",
            }));
        }
        await all[1].SendAsync(Host, new DeleteQueue("q3", null));
        await all[1].SendAsync(Host, VirtualHostOwnerTests.Declare("q3"));
        await all[2].AdministerAsync(new SetPolicy(Host, new Policy
        {
            Name = "p",
            Pattern = SafePattern.Parse("^q1"),
            Definition = FieldTable.Of(("max-length", new IntegerValue(5))),
        }));
        var whole = VirtualHostsDelta.Between(null, cluster.Image).ToBytes();
        var fresh = VirtualHostsDelta.Parse(whole).ApplyTo(VirtualHostsImage.Empty, []);
        foreach (var broker in all)
            AssertSame(fresh, broker.Image);
        AssertSame(cluster.Image, fresh);
        Assert.Equal(3, fresh.Hosts[Host].Topology.Consumers.Count());

        // A new owner has the consumers from the brokers.
        await cluster.TakeOverAsync();
        Assert.Equal(3, cluster.Image.Hosts[Host].Topology.Consumers.Count());
        await all[2].SendAsync(Host, new EndConnection("c1"));
        Assert.All(all, static broker => Assert.Empty(broker.Find(Host)!.Topology.Consumers));
    }

    [Fact]
    public async Task Connections_of_a_broker_that_died_end_also_where_their_command_comes_late()
    {
        var cluster = new TestCluster(new MemoryStateStore());
        await cluster.TakeOverAsync();
        var broker = cluster.Brokers[0];
        await DeclareAsync("own", isExclusive: true, "b1/1");
        await DeclareAsync("own-2", isExclusive: true, "b2/1");
        foreach (var (queue, connection) in new[] { ("auto", "b1/1"), ("auto-2", "b2/1"), ("auto-3", "unknown") })
            await ConsumeAsync((await DeclareAsync(queue, isExclusive: false, connection))!, connection);

        cluster.Ended["b1"] = true;
        cluster.BrokersChanged!();
        await EndAsync();

        // The owner before had checked already.
        await ConsumeAsync((await DeclareAsync("auto", isExclusive: false, "b1/2"))!, "b1/2");
        await cluster.TakeOverAsync();
        await EndAsync();

        async Task<QueueState?> DeclareAsync(string name, bool isExclusive, string connection) =>
            (await broker.SendAsync(Host, new DeclareQueue(
                new QueueDeclaration { Name = name, Exclusive = isExclusive, AutoDelete = !isExclusive }, connection))).Queue;

        async Task ConsumeAsync(QueueState queue, string connection) => await broker.SendAsync(Host, new AddConsumer(new QueueConsumer
        {
            Queue = queue.Name,
            QueueId = queue.Id,
            Id = Guid.NewGuid().ToString(),
            Connection = connection,
        }));

        async Task EndAsync()
        {
            await Wait.UntilAsync(() => cluster.Image.Hosts[Host].Topology.Queues.Select(static queue => queue.Name)
                .Order(StringComparer.Ordinal).SequenceEqual(["auto-2", "auto-3", "own-2"]), TimeSpan.FromSeconds(60));
            Assert.Equal(2, cluster.Image.Hosts[Host].Topology.Consumers.Count());
        }
    }

    [Fact]
    public async Task Queue_that_is_declared_again_ends_the_earlier_one_at_a_broker_that_missed_both()
    {
        var cluster = new TestCluster(new MemoryStateStore());
        await cluster.TakeOverAsync();
        var (near, far) = (cluster.Brokers[0], cluster.Brokers[1]);
        var first = (await near.SendAsync(Host, VirtualHostOwnerTests.Declare("orders"))).Queue!;
        var ended = new List<QueueState>();
        far.Changed += change => ended.AddRange(change.EndedQueues());
        cluster.CutOff.Add(far);
        await near.SendAsync(Host, new DeleteQueue("orders", null));
        var second = (await near.SendAsync(Host, VirtualHostOwnerTests.Declare("orders"))).Queue!;
        Assert.Equal(first.Id, far.Find(Host)!.Topology.FindQueue("orders")!.Id);

        cluster.CutOff.Clear();
        Assert.Equal(second.Id, (await far.RefreshAsync(Host))!.Topology.FindQueue("orders")!.Id);
        Assert.Equal([first.Id], ended.Select(static queue => queue.Id));
    }

    [Fact]
    public async Task Owner_that_was_replaced_neither_answers_nor_changes_anything()
    {
        var cluster = new TestCluster(new MemoryStateStore());
        await cluster.TakeOverAsync();
        var broker = cluster.Brokers[0];
        await broker.SendAsync(Host, VirtualHostOwnerTests.Declare("mine", durable: false));
        var before = cluster.Owner;
        await cluster.TakeOverAsync();
        Assert.NotNull(cluster.Image.Hosts[Host].Topology.FindQueue("mine"));

        VirtualHostRequest[] requests =
        [
            new() { VirtualHost = Host, Command = VirtualHostOwnerTests.Declare("q") },
            new() { VirtualHost = Host, Command = VirtualHostOwnerTests.Declare("mine", durable: false) },
            new() { VirtualHost = "none", Command = VirtualHostOwnerTests.Declare("q") },
            new() { Administration = new PutUser("u", "", PasswordHash.Sha256, []) },
            new() { Administration = new DeleteUser("nobody") },
            new() { Administration = new PutVirtualHost("new") },
            new() { Administration = new DeleteVirtualHost(Host) },
            new() { Known = 0 },
        ];
        foreach (var request in requests)
            Assert.False(((VirtualHostReply)await before.AskAsync(request)).IsDecided);
        Assert.True(before.IsClosed);
        await cluster.TakeOverAsync();
        Assert.Equal(["mine"], cluster.Image.Hosts[Host].Topology.Queues.Select(static queue => queue.Name));
        Assert.Equal([Host], cluster.Image.Hosts.Keys);
        Assert.Equal([UserState.Guest], cluster.Image.Users.ByName.Keys);
    }

    [Fact]
    public async Task New_installation_is_made_once_where_several_brokers_begin_it()
    {
        for (var round = 0; round < 20; round++)
        {
            var store = new MemoryStateStore();
            var clusters = Enumerable.Range(0, 4).Select(_ => new TestCluster(store)).ToArray();
            await Task.WhenAll(clusters.Select(cluster => Task.Run(async () =>
            {
                try
                {
                    await cluster.TakeOverAsync();
                }
                catch (StateConflictException)
                {
                    // Another one claims, and this one would be activated again.
                }
            })));
            var last = new TestCluster(store);
            await last.TakeOverAsync();
            var guest = last.Image.Users.FindUser(UserState.Guest)!;
            Assert.Null(last.Image.Hosts[Host].AccessOf(guest).CheckReadQueue("q"));
        }
    }

    [Fact]
    public async Task Refreshes_share_a_question_that_is_asked_after_them()
    {
        var cluster = new TestCluster(new MemoryStateStore());
        await cluster.TakeOverAsync();
        var link = new SlowLink(cluster);
        // No owner knows this broker: it gets no images.
        var far = new ClusterVirtualHosts(link, Diagnostics.EngineLog.Silent);
        var first = far.RefreshAsync(Host).AsTask();
        await link.IsAnswered.Task.WaitAsync(TimeSpan.FromSeconds(60));
        await cluster.Brokers[0].SendAsync(Host, VirtualHostOwnerTests.Declare("orders"));
        var others = Enumerable.Range(0, 100).Select(_ => far.RefreshAsync(Host).AsTask()).ToArray();
        Assert.Equal(1, link.Asked);
        Assert.All(others, static one => Assert.False(one.IsCompleted));
        link.Arrives.SetResult();
        await first.WaitAsync(TimeSpan.FromSeconds(60));
        // The first answer is from before the declaration.
        foreach (var image in await Task.WhenAll(others).WaitAsync(TimeSpan.FromSeconds(60)))
            Assert.NotNull(image!.Topology.FindQueue("orders"));
        Assert.Equal(2, link.Asked);
    }

    [Fact]
    public async Task Refresh_whose_answer_is_lost_gets_that_of_the_next_question_and_the_lost_one_changes_nothing_later()
    {
        var cluster = new TestCluster(new MemoryStateStore());
        await cluster.TakeOverAsync();
        await cluster.Brokers[0].SendAsync(Host, VirtualHostOwnerTests.Declare("first"));
        var (link, clock) = (new ScriptedLink(cluster), new ManualClock());
        var far = new ClusterVirtualHosts(link, Diagnostics.EngineLog.Silent, clock);
        var refreshing = far.RefreshAsync(Host).AsTask();
        var lost = await link.NextAsync();
        await cluster.Brokers[0].SendAsync(Host, VirtualHostOwnerTests.Declare("second"));
        for (var waits = 0; link.Waiting == 0; waits++)
        {
            Assert.True(waits < 10_000, "No question began beside the late one.");
            clock.Advance(TimeSpan.FromMilliseconds(100));
            await Task.Delay(5);
        }
        (await link.NextAsync()).Arrives.SetResult();
        Assert.NotNull((await refreshing.WaitAsync(TimeSpan.FromSeconds(60)))!.Topology.FindQueue("second"));
        var version = far.Image.Version;
        lost.Arrives.SetResult();
        await lost.Given.WaitAsync(TimeSpan.FromSeconds(60));
        Assert.Equal(version, far.Image.Version);
    }

    private int _answered;
    private int _unknown;
    private int _refused;
    private int _takeovers;
    private int _cutOff;

    private async Task RunAsync(Random random)
    {
        var store = new MemoryStateStore();
        var cluster = new TestCluster(store);
        await cluster.TakeOverAsync();
        var known = new Dictionary<string, long>();
        for (var step = 0; step < 40; step++)
        {
            if (random.Next(6) == 0)
            {
                cluster.CutOff.Add(cluster.Brokers[random.Next(Brokers)]);
                _cutOff++;
            }
            var isFaulty = random.Next(4) == 0;
            var fates = new Queue<WriteFate>(Enumerable.Range(0, 64).Select(_ => (WriteFate)random.Next(4)));
            store.Fate = _ => isFaulty && fates.TryDequeue(out var fate) ? fate : WriteFate.Stored;
            string[] names = ["q0", "q1", "q2", "q3", "q4", "q5"];
            random.Shuffle(names);
            var sent = names[..random.Next(1, names.Length)].Select(name => Send(cluster, random, name)).ToList();
            if (random.Next(8) == 0)
            {
                // Another broker takes over while the commands are on their way.
                store.Fate = static _ => WriteFate.Stored;
                await cluster.TakeOverAsync();
                _takeovers++;
            }
            foreach (var (queue, isDeclare, broker, answering) in sent)
                await RecordAsync(cluster, queue, isDeclare, broker, answering, known);
            store.Fate = static _ => WriteFate.Stored;
            if (random.Next(6) == 0)
            {
                store.ArriveLate();
                await cluster.TakeOverAsync();
                _takeovers++;
            }
            cluster.CutOff.Clear();
            foreach (var broker in cluster.Brokers)
            {
                await broker.CatchUpAsync(default);
                AssertSame(cluster.Image, broker.Image);
            }
            foreach (var (name, id) in known)
                Assert.True((cluster.Image.Hosts[Host].Topology.FindQueue(name)?.Id ?? 0) == id, $"{name} in step {step}");
        }
    }

    private static (string Queue, bool IsDeclare, ClusterVirtualHosts Broker, Task<VirtualHostAnswer> Answer) Send(TestCluster cluster,
        Random random, string name)
    {
        var broker = cluster.Brokers[random.Next(Brokers)];
        var isDeclare = random.Next(3) > 0;
        // Those of the lower half are not durable.
        return (name, isDeclare, broker, (isDeclare
            ? broker.SendAsync(Host, VirtualHostOwnerTests.Declare(name, durable: name is not ("q0" or "q1" or "q2")))
            : broker.SendAsync(Host, new DeleteQueue(name, null))).AsTask());
    }

    private async Task RecordAsync(TestCluster cluster, string queue, bool isDeclare, ClusterVirtualHosts broker,
        Task<VirtualHostAnswer> answering, Dictionary<string, long> known)
    {
        known.Remove(queue);
        try
        {
            var answer = await answering;
            _answered++;
            var id = isDeclare ? answer.Queue!.Id : 0;
            Assert.Equal(id, broker.Find(Host)!.Topology.FindQueue(queue)?.Id ?? 0);
            foreach (var other in cluster.Brokers.Where(other => !cluster.CutOff.Contains(other)))
                Assert.Equal(id, other.Find(Host)!.Topology.FindQueue(queue)?.Id ?? 0);
            known[queue] = id;
        }
        catch (AmqpRefusedException)
        {
            _refused++;
        }
        catch (BrokerException)
        {
            _unknown++;
        }
    }

    private static void AssertSame(VirtualHostsImage expected, VirtualHostsImage actual)
    {
        Assert.Equal(expected.Version, actual.Version);
        Assert.Equal(expected.Users.ByName.Keys, actual.Users.ByName.Keys);
        Assert.Equal(expected.Hosts.Keys, actual.Hosts.Keys);
        foreach (var (name, host) in expected.Hosts)
        {
            var other = actual.Hosts[name];
            Assert.Equal(host.Version, other.Version);
            Assert.Equal(host.Settings.Policies.Policies.Select(static policy => policy.Key),
                other.Settings.Policies.Policies.Select(static policy => policy.Key));
            Assert.Equal(host.Topology.Queues.Select(static queue => (queue.Name, queue.Id)),
                other.Topology.Queues.Select(static queue => (queue.Name, queue.Id)));
            Assert.Equal(host.Topology.Bindings.Count(), other.Topology.Bindings.Count());
            Assert.Equal(host.Topology.Consumers.OrderBy(static consumer => consumer.Id, StringComparer.Ordinal),
                other.Topology.Consumers.OrderBy(static consumer => consumer.Id, StringComparer.Ordinal));
            Assert.All(host.Topology.Queues, queue => Assert.Equal(host.Topology.ConsumersOf(queue).Values,
                other.Topology.ConsumersOf(queue).Values));
            Assert.Equal(host.Topology.HasConsumers("c1"), other.Topology.HasConsumers("c1"));
            foreach (var key in new[] { "k.0", "k.1", "q1", "q4" })
            {
                Assert.Equal(VirtualHostOwnerTests.Route(host, "x", key), VirtualHostOwnerTests.Route(other, "x", key));
                Assert.Equal(VirtualHostOwnerTests.Route(host, "", key), VirtualHostOwnerTests.Route(other, "", key));
            }
        }
    }

    /// <summary>A way to the owner; the answers arrive late.</summary>
    private sealed class SlowLink(TestCluster cluster) : IVirtualHostsLink
    {
        private int _asked;

        public int Asked => Volatile.Read(ref _asked);

        public TaskCompletionSource IsAnswered { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource Arrives { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public async Task<VirtualHostReply> AskAsync(VirtualHostRequest request, CancellationToken cancellationToken)
        {
            Interlocked.Increment(ref _asked);
            var reply = await cluster.AskAsync(request, cancellationToken);
            IsAnswered.TrySetResult();
            await Arrives.Task;
            return reply;
        }
    }

    /// <summary>A way to the owner; each answer arrives when a test says.</summary>
    private sealed class ScriptedLink(TestCluster cluster) : IVirtualHostsLink
    {
        private readonly System.Threading.Channels.Channel<Answer> _answers = System.Threading.Channels.Channel.CreateUnbounded<Answer>();

        public int Waiting => _answers.Reader.Count;

        public async Task<Answer> NextAsync() => await _answers.Reader.ReadAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60));

        public async Task<VirtualHostReply> AskAsync(VirtualHostRequest request, CancellationToken cancellationToken)
        {
            var reply = await cluster.AskAsync(request, cancellationToken);
            var answer = new Answer();
            _answers.Writer.TryWrite(answer);
            await answer.Arrives.Task;
            answer.IsGiven.SetResult();
            return reply;
        }

        public sealed class Answer
        {
            public TaskCompletionSource Arrives { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

            public TaskCompletionSource IsGiven { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

            public Task Given => IsGiven.Task;
        }
    }

    /// <summary>Brokers, and the owner that they find. Images and requests go as bytes.</summary>
    private sealed class TestCluster : IVirtualHostsLink
    {
        private readonly MemoryStateStore _store;
        private VirtualHostCoordinator? _owner;

        public TestCluster(MemoryStateStore store)
        {
            _store = store;
            Brokers = [.. Enumerable.Range(0, ClusterVirtualHostsTests.Brokers)
                .Select(_ => new ClusterVirtualHosts(this, Diagnostics.EngineLog.Silent))];
        }

        public ClusterVirtualHosts[] Brokers { get; }

        /// <summary>The brokers that the owner does not reach.</summary>
        public HashSet<ClusterVirtualHosts> CutOff { get; } = [];

        public ConcurrentDictionary<string, bool> Ended { get; } = new();

        public Action? BrokersChanged { get; set; }

        public VirtualHostCoordinator Owner => _owner!;

        public VirtualHostsImage Image => Owner.Image;

        public async Task TakeOverAsync() => _owner = await VirtualHostCoordinator.OpenAsync(_store, new VirtualHostOwnerOptions(),
            epoch => Task.FromResult(NewestAfter(epoch)), new Publisher(this));

        public async Task<VirtualHostReply> AskAsync(VirtualHostRequest request, CancellationToken cancellationToken) =>
            VirtualHostReply.Parse(((VirtualHostReply)await Owner.AskAsync(VirtualHostRequest.Parse(request.ToBytes()),
                cancellationToken)).ToBytes());

        private VirtualHostsImage NewestAfter(int epoch) => Brokers.Where(broker => !CutOff.Contains(broker))
            .Select(broker => broker.Fence(epoch)).MaxBy(static image => image.Version) ?? VirtualHostsImage.Empty;

        private sealed class Publisher(TestCluster cluster) : IVirtualHostsPublisher
        {
            private readonly Lock _lock = new();
            private readonly Dictionary<ClusterVirtualHosts, VirtualHostsImage> _has = [];
            private VirtualHostsImage _newest = VirtualHostsImage.Empty;

            public event Action? Superseded;

            public event Action? BrokersChanged
            {
                add => cluster.BrokersChanged += value;
                remove => cluster.BrokersChanged -= value;
            }

            public bool HasEnded(string incarnation) => cluster.Ended.ContainsKey(incarnation);

            public void Publish(VirtualHostsImage image) => Volatile.Write(ref _newest, image);

            public Task WaitAsync(long version)
            {
                lock (_lock)
                {
                    foreach (var broker in cluster.Brokers.Where(broker => !cluster.CutOff.Contains(broker)))
                        Push(broker, Volatile.Read(ref _newest));
                }
                return Task.CompletedTask;
            }

            public ValueTask DisposeAsync() => default;

            private void Push(ClusterVirtualHosts broker, VirtualHostsImage newest)
            {
                for (var attempt = 0; attempt < 2; attempt++)
                {
                    var has = _has.GetValueOrDefault(broker);
                    if (has?.Version == newest.Version)
                        return;
                    var version = broker.Apply(VirtualHostsDelta.Parse(VirtualHostsDelta.Between(has, newest).ToBytes()));
                    if (version > newest.Version)
                        Superseded?.Invoke();
                    if (version == newest.Version)
                        _has[broker] = newest;
                    else
                        _has.Remove(broker);
                }
            }
        }
    }
}
