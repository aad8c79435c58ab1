using OrleansMq.Diagnostics;
using OrleansMq.Quotas;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Engine.VirtualHosts;

namespace OrleansMq.Tests.Engine.Quotas;

/// <summary>Quotas over a store that several brokers change, and what they share.</summary>
public sealed class BrokerQuotasTests
{
    private readonly MemoryStateStore _store = new();
    private readonly ManualClock _time = new();
    private readonly Peers _peers = new();

    [Fact]
    public async Task Quotas_survive_a_restart_and_are_listed_by_filter()
    {
        await using (var broker = await OpenAsync())
        {
            await broker.AlterAsync([Change(new QuotaEntity("alice"), (QuotaKey.ProducerByteRate, 1_000)),
                Change(new QuotaEntity("", "app"), (QuotaKey.RequestPercentage, 12.5)),
                Change(new QuotaEntity(null, null, "10.0.0.1"), (QuotaKey.ConnectionCreationRate, 5))]);
        }
        await using var again = await OpenAsync();
        Assert.Equal(3, again.List(QuotaFilter.All).Count);
        var users = again.List(new QuotaFilter([new QuotaFilterPart("user", QuotaMatchType.Any, null)], IsStrict: true));
        Assert.Equal((new QuotaEntity("alice"), 1_000), (Assert.Single(users).Entity, users[0].Limits[QuotaKey.ProducerByteRate]));
        var defaults = again.List(new QuotaFilter([new QuotaFilterPart("user", QuotaMatchType.Default, null)]));
        Assert.Equal(12.5, Assert.Single(defaults).Limits[QuotaKey.RequestPercentage]);
    }

    [Fact]
    public async Task Removed_limits_leave_no_entity_and_no_image()
    {
        await using var broker = await OpenAsync();
        await broker.AlterAsync([Change(new QuotaEntity("alice"), (QuotaKey.ProducerByteRate, 1_000), (QuotaKey.ConsumerByteRate, 1))]);
        Assert.NotNull(broker.Image);
        await broker.AlterAsync([Change(new QuotaEntity("alice"), (QuotaKey.ProducerByteRate, null))]);
        Assert.Equal([QuotaKey.ConsumerByteRate], Assert.Single(broker.List(QuotaFilter.All)).Limits.Keys);
        var version = broker.Version;
        await broker.AlterAsync([Change(new QuotaEntity("bob"), (QuotaKey.ProducerByteRate, null))]);
        Assert.Equal(version, broker.Version);
        await broker.AlterAsync([Change(new QuotaEntity("alice"), (QuotaKey.ConsumerByteRate, null))]);
        Assert.Empty(broker.List(QuotaFilter.All));
        Assert.Null(broker.Image);
    }

    [Theory]
    [InlineData(null, null, null, QuotaKey.ProducerByteRate, 1)]
    [InlineData("alice", null, "10.0.0.1", QuotaKey.ProducerByteRate, 1)]
    [InlineData("alice", null, null, QuotaKey.ProducerByteRate, 0)]
    [InlineData("alice", null, null, QuotaKey.ProducerByteRate, -1)]
    [InlineData("alice", null, null, QuotaKey.ProducerByteRate, double.NaN)]
    [InlineData("alice", null, null, QuotaKey.ProducerByteRate, 1.5)]
    [InlineData("alice", null, null, QuotaKey.ProducerByteRate, 1e30)]
    [InlineData("alice", null, null, QuotaKey.ConnectionCreationRate, 1)]
    [InlineData(null, null, "10.0.0.1", QuotaKey.ProducerByteRate, 1)]
    [InlineData(null, null, "example.org", QuotaKey.ConnectionCreationRate, 1)]
    [InlineData(null, null, "10.0.0.1", QuotaKey.ConnectionCreationRate, 1e10)]
    [InlineData("alice", null, null, QuotaKey.ProducerIds, 0.5)]
    [InlineData("alice", null, null, QuotaKey.ProducerIds, 1_000_001)]
    [InlineData(null, null, "10.0.0.1", QuotaKey.ProducerIds, 1)]
    public async Task Impossible_quota_is_refused(string? user, string? clientId, string? ip, object key, double value)
    {
        await using var broker = await OpenAsync();
        var refused = await Assert.ThrowsAsync<BrokerException>(async () =>
            await broker.AlterAsync([Change(new QuotaEntity(user, clientId, ip), ((QuotaKey)key, value))]));
        Assert.Equal(ErrorCode.InvalidRequest, refused.Code);
        Assert.Empty(_store.Keys);
    }

    [Fact]
    public async Task Change_of_one_broker_is_in_force_on_another_that_hears_of_it()
    {
        await using var first = await OpenAsync(1);
        await using var second = await OpenAsync(2);
        var client = second.Of("User:alice", "");
        Assert.Null(client.Of(QuotaKey.ProducerByteRate));
        await first.AlterAsync([Change(new QuotaEntity("alice"), (QuotaKey.ProducerByteRate, 1_000))]);
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (!second.Hear(first.Version))
            await Task.Delay(1, patience.Token);
        Assert.Equal(1_000, client.Of(QuotaKey.ProducerByteRate)!.Limit);
        await first.AlterAsync([Change(new QuotaEntity("alice"), (QuotaKey.ProducerByteRate, 500))]);
        while (!second.Hear(first.Version))
            await Task.Delay(1, patience.Token);
        Assert.Equal(500, client.Of(QuotaKey.ProducerByteRate)!.Limit);
        _store.ReadsFail = true;
        Assert.Equal(500, client.Of(QuotaKey.ProducerByteRate)!.Limit);
    }

    [Fact]
    public async Task Clients_of_a_user_share_its_limit_and_owe_what_they_used_beyond()
    {
        await using var broker = await OpenAsync();
        await broker.AlterAsync([Change(new QuotaEntity("alice"), (QuotaKey.ProducerByteRate, 1_000))]);
        var (one, two) = (broker.Of("User:alice", "one"), broker.Of("User:alice", "two"));
        Assert.Equal(TimeSpan.Zero, one.Charge(QuotaKey.ProducerByteRate, 10_000));
        Assert.Equal(TimeSpan.FromSeconds(2), two.Charge(QuotaKey.ProducerByteRate, 2_000));
        Assert.Equal(TimeSpan.Zero, broker.Of("User:bob", "one").Charge(QuotaKey.ProducerByteRate, 100_000));
        _time.Advance(TimeSpan.FromSeconds(1.5));
        Assert.Equal(TimeSpan.FromSeconds(0.5), one.Of(QuotaKey.ProducerByteRate)!.Wait());
        Assert.Equal(1_200, one.Of(QuotaKey.ProducerByteRate)!.Describe().Used, 100.0);
    }

    [Fact]
    public async Task Clients_with_long_ids_share_one_account()
    {
        await using var broker = await OpenAsync();
        await broker.AlterAsync([Change(new QuotaEntity(null, ""), (QuotaKey.ProducerByteRate, 1_000))]);
        for (var last = 'a'; last < 'd'; last++)
        {
            broker.Of("User:alice", new string('x', 254) + last).Charge(QuotaKey.ProducerByteRate, 1);
            broker.Of("User:alice", new string('x', 32_000) + last).Charge(QuotaKey.ProducerByteRate, 1);
        }
        var used = broker.ListUsage();
        Assert.Equal(4, used.Count);
        Assert.All(used, static one => Assert.InRange(one.Scope.ClientId!.Length, 1, 255));
    }

    [Fact]
    public async Task Mutation_is_refused_while_an_earlier_one_is_owed()
    {
        await using var broker = await OpenAsync();
        await broker.AlterAsync([Change(new QuotaEntity("alice"), (QuotaKey.ControllerMutationRate, 1))]);
        var account = broker.Of("User:alice", "").Of(QuotaKey.ControllerMutationRate)!;
        Assert.Equal(TimeSpan.Zero, account.ChargeUnlessOwed(12));
        Assert.Equal(TimeSpan.FromSeconds(2), account.ChargeUnlessOwed(1));
        _time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(TimeSpan.Zero, account.ChargeUnlessOwed(1));
    }

    [Fact]
    public async Task Mutation_that_did_nothing_is_given_back_as_far_as_it_was_taken()
    {
        await using var broker = await OpenAsync();
        await broker.AlterAsync([Change(new QuotaEntity("alice"), (QuotaKey.ControllerMutationRate, 1))]);
        var account = broker.Of("User:alice", "").Of(QuotaKey.ControllerMutationRate)!;
        // Ten are there, and no more than sixty are owed.
        Assert.Equal(TimeSpan.Zero, account.ChargeUnlessOwed(1_000, out var taken));
        Assert.Equal((70, -60), (taken, account.Left));
        account.TakeBack(taken);
        Assert.Equal(10, account.Left);
        Assert.Equal(TimeSpan.Zero, account.ChargeUnlessOwed(12, out taken));
        Assert.Equal(TimeSpan.FromSeconds(2), account.ChargeUnlessOwed(1, out var none));
        Assert.Equal((12, 0), (taken, none));
        // A window's worth is saved, whatever comes back late.
        _time.Advance(TimeSpan.FromSeconds(10));
        account.TakeBack(taken);
        Assert.Equal(10, account.Left);
    }

    [Fact]
    public async Task Connections_of_an_address_wait_for_their_turn()
    {
        await using var broker = await OpenAsync();
        await broker.AlterAsync([Change(new QuotaEntity(null, null, ""), (QuotaKey.ConnectionCreationRate, 2))]);
        for (var count = 0; count < 20; count++)
            Assert.Equal(TimeSpan.Zero, broker.Connect("10.0.0.1", TimeSpan.FromSeconds(1)));
        Assert.Equal(TimeSpan.FromSeconds(0.5), broker.Connect("10.0.0.1", TimeSpan.FromSeconds(1)));
        Assert.Equal(TimeSpan.FromSeconds(1), broker.Connect("10.0.0.1", TimeSpan.FromSeconds(1)));
        Assert.Equal(TimeSpan.FromSeconds(1.5), broker.Connect("10.0.0.1", TimeSpan.FromSeconds(1)));
        Assert.Null(broker.Connect("10.0.0.1", TimeSpan.FromSeconds(1)));
        Assert.Equal(TimeSpan.Zero, broker.Connect("10.0.0.2", TimeSpan.FromSeconds(1)));
    }

    [Fact]
    public async Task Account_that_is_not_used_is_replaced()
    {
        await using var broker = await OpenAsync();
        await broker.AlterAsync([Change(new QuotaEntity("alice"), (QuotaKey.ProducerByteRate, 1_000))]);
        var client = broker.Of("User:alice", "");
        var first = client.Of(QuotaKey.ProducerByteRate)!;
        first.Charge(1);
        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.Same(first, client.Of(QuotaKey.ProducerByteRate));
        for (var second = 0; second < 12; second++)
            _time.Advance(TimeSpan.FromSeconds(1));
        Assert.True(first.IsRetired);
        Assert.NotSame(first, client.Of(QuotaKey.ProducerByteRate));
    }

    [Fact]
    public async Task Limit_is_the_clusters_and_goes_where_it_is_used()
    {
        await using var first = await OpenAsync(1);
        await using var second = await OpenAsync(2);
        await first.AlterAsync([Change(new QuotaEntity("alice"), (QuotaKey.ProducerByteRate, 1_000))]);
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (!second.Hear(first.Version))
            await Task.Delay(1, patience.Token);
        var (one, two) = (first.Of("User:alice", ""), second.Of("User:alice", ""));
        // Nothing is known of the other.
        Assert.Equal((500, 500), Shares());
        Pass(5, () => one.Charge(QuotaKey.ProducerByteRate, 2_000));
        Assert.Equal(1_000, Shares().One);
        // As the other broker is used, too, each has half.
        Pass(25, () => one.Charge(QuotaKey.ProducerByteRate, 2_000), () => two.Charge(QuotaKey.ProducerByteRate, 2_000));
        Assert.Equal((500, 500), Shares());
        // What the second leaves, the first gets.
        Pass(300, () => one.Charge(QuotaKey.ProducerByteRate, 2_000), () => two.Charge(QuotaKey.ProducerByteRate, 100));
        Assert.Equal(875, Shares().One, 20.0);
        // What a broker owes is repaid from its part, also while its clients wait.
        one.Charge(QuotaKey.ProducerByteRate, 100_000);
        Pass(30, () => two.Charge(QuotaKey.ProducerByteRate, 2_000));
        Assert.Equal(500, Shares().Two);
        // A broker that says nothing is left half.
        _peers.IsCut = true;
        Pass(5, () => one.Charge(QuotaKey.ProducerByteRate, 2_000));
        Assert.Equal(500, Shares().One);

        (double One, double Two) Shares() =>
            (one.Of(QuotaKey.ProducerByteRate)!.Share, two.Of(QuotaKey.ProducerByteRate)!.Share);

        void Pass(int seconds, params Action[] uses)
        {
            for (; seconds > 0; seconds--)
            {
                foreach (var use in uses)
                    use();
                _time.Advance(TimeSpan.FromSeconds(1));
            }
        }
    }

    [Fact]
    public void Report_of_another_form_or_cut_off_is_not_read()
    {
        var report = QuotaReport.Write(3, [new QuotaReportLine(QuotaKey.ConsumerByteRate, new QuotaScope("u", null),
            new QuotaUse(12.5, true))]);
        var read = QuotaReport.Read(report)!;
        Assert.Equal((3, new QuotaUse(12.5, true)), (read.Broker, read.UseOf(QuotaKey.ConsumerByteRate, new QuotaScope("u", null))));
        Assert.Equal(default, read.UseOf(QuotaKey.ConsumerByteRate, new QuotaScope("v", null)));
        for (var length = 0; length < report.Length; length++)
            Assert.Null(QuotaReport.Read(report.AsMemory(0, length)));
        report[0]++;
        Assert.Null(QuotaReport.Read(report));
    }

    [Fact]
    public async Task Producer_ids_of_a_user_are_bounded_and_each_client_of_a_default_has_its_own()
    {
        await using var broker = await OpenAsync();
        var (alice, bob) = (broker.Of("User:alice", "a"), broker.Of("User:bob", "b"));
        Assert.True(alice.AdmitsProducer(1));
        await broker.AlterAsync([Change(new QuotaEntity(""), (QuotaKey.ProducerIds, 1))]);
        Assert.True(alice.AdmitsProducer(2));
        Assert.False(broker.Of("User:alice", "c").AdmitsProducer(3));
        Assert.True(bob.AdmitsProducer(3));
        Assert.True(alice.AdmitsProducer(-1));
        Assert.Equal(1, broker.ListUsage().Single(static one => one.Scope.User == "alice").Used);
        // What counts is not forgotten while it is not looked at.
        for (var minute = 0; minute < 59; minute++)
        {
            _time.Advance(TimeSpan.FromMinutes(1));
            broker.LookAgain();
        }
        Assert.False(alice.AdmitsProducer(3));
        _time.Advance(TimeSpan.FromMinutes(1));
        broker.LookAgain();
        Assert.True(alice.AdmitsProducer(3));
        await broker.AlterAsync([Change(new QuotaEntity(""), (QuotaKey.ProducerIds, null))]);
        Assert.True(alice.AdmitsProducer(4));
    }

    [Fact]
    public void Report_of_many_long_names_has_those_of_the_highest_rates()
    {
        var lines = Enumerable.Range(0, 1_500).Select(static index => new QuotaReportLine(QuotaKey.ConsumerByteRate,
            new QuotaScope($"{index}{new string('\u00e9', 251)}", $"{index}{new string('\u20ac', 251)}"),
            new QuotaUse(1 + index, false))).ToArray();
        var report = QuotaReport.Write(3, lines);
        Assert.InRange(report.Length, 250 << 10, 256 << 10);
        var read = QuotaReport.Read(report)!;
        var told = lines.Where(line => read.UseOf(line.Key, line.Scope) == line.Use).Select(static line => line.Use.Rate).ToArray();
        Assert.Equal(Enumerable.Range(1_501 - told.Length, told.Length).Select(static rate => (double)rate), told);
    }

    private static QuotaChange Change(QuotaEntity entity, params (QuotaKey Key, double? Limit)[] limits) =>
        new(entity, limits.ToDictionary(static one => one.Key, static one => one.Limit));

    private async Task<BrokerQuotas> OpenAsync(int? id = null)
    {
        var broker = new BrokerQuotas(() => _store, EngineLog.Silent, _time, peers: id is { } self ? _peers.For(self) : null);
        if (id is { } known)
            _peers.Add(known, broker);
        await broker.OpenAsync(follows: id is not null);
        return broker;
    }

    private sealed class Peers
    {
        private readonly Dictionary<int, BrokerQuotas> _brokers = [];

        public bool IsCut { get; set; }

        public void Add(int id, BrokerQuotas broker) => _brokers[id] = broker;

        public IQuotaPeers For(int self) => new View(this, self);

        private sealed class View(Peers peers, int self) : IQuotaPeers
        {
            public int Self => self;

            public IReadOnlyCollection<int> Others => [.. peers._brokers.Keys.Where(id => id != self)];

            public Task SendAsync(int broker, ReadOnlyMemory<byte> message)
            {
                if (!peers.IsCut)
                    Assert.True(peers._brokers[broker].Hear(message));
                return Task.CompletedTask;
            }
        }
    }
}
