using OrleansMq.Diagnostics;
using OrleansMq.Security;
using OrleansMq.Tests.Engine.VirtualHosts;

namespace OrleansMq.Tests.Engine.Security;

/// <summary>Tickets of several brokers over one store, which fails.</summary>
public sealed class BrokerTicketsTests
{
    private readonly MemoryStateStore _store = new();
    private readonly SetClock _clock = new();

    [Fact]
    public async Task Brokers_accept_the_tickets_of_each_other()
    {
        await using var first = await OpenAsync("broker-1");
        await using var second = await OpenAsync("broker-2");
        Assert.Equal(TicketFault.None, second.Verify(first.Own!, out var ticket));
        Assert.Equal((TicketKind.Broker, "broker-1"), (ticket!.Kind, ticket.Principal));
        Assert.Equal(TicketFault.None, first.Verify(second.Issue("User:alice", null, 3, 7, out var life), out var alice));
        Assert.Equal(new Ticket(TicketKind.Client, "User:alice", _clock.Now + BrokerTickets.ClientLife) { CreatedAt = 3, ChangedAt = 7 },
            alice);
        Assert.Equal(BrokerTickets.ClientLife, life);
    }

    [Fact]
    public async Task Brokers_that_start_together_agree_on_one_secret()
    {
        var brokers = await Task.WhenAll(Enumerable.Range(1, 8).Select(id => Task.Run(() => OpenAsync($"broker-{id}"))));
        foreach (var broker in brokers)
        {
            Assert.All(brokers, other => Assert.Equal(TicketFault.None, broker.Verify(other.Own!, out _)));
            Assert.Equal(1, broker.Version);
        }
        foreach (var broker in brokers)
            await broker.DisposeAsync();
    }

    [Fact]
    public async Task Own_ticket_is_kept_for_half_its_life_and_renewed()
    {
        await using var broker = await OpenAsync("broker-1");
        var own = broker.Own!;
        _clock.Now += TimeSpan.FromMinutes(29);
        Assert.Same(own, broker.Own);
        _clock.Now += TimeSpan.FromMinutes(2);
        Assert.NotSame(own, broker.Own);
        // Another broker's clock may be behind, or the call on its way.
        Assert.Equal(TicketFault.None, broker.Verify(own, out _));
    }

    [Fact]
    public async Task Verified_ticket_ends_at_its_time_all_the_same()
    {
        await using var broker = await OpenAsync("broker-1");
        var bytes = broker.Issue("User:alice", null, -1, -1, out _);
        Assert.Equal(TicketFault.None, broker.Verify(bytes, out _));
        Assert.Equal(TicketFault.None, broker.Verify((byte[])bytes.Clone(), out _));
        _clock.Now += BrokerTickets.ClientLife;
        Assert.Equal(TicketFault.Expired, broker.Verify(bytes, out var ticket));
        Assert.Null(ticket);
        Assert.Equal(TicketFault.Expired, broker.Verify((byte[])bytes.Clone(), out _));
    }

    [Fact]
    public async Task Ticket_with_the_end_of_a_verified_one_is_verified_itself()
    {
        await using var broker = await OpenAsync("broker-1");
        var bytes = broker.Issue("User:alice", null, -1, -1, out _);
        Assert.Equal(TicketFault.None, broker.Verify(bytes, out _));
        var other = (byte[])bytes.Clone();
        other[^33]++;
        Assert.Equal(TicketFault.Forged, broker.Verify(other, out _));
    }

    [Fact]
    public async Task Ticket_is_not_good_for_longer_than_its_credentials()
    {
        await using var broker = await OpenAsync("broker-1");
        var bytes = broker.Issue("User:alice", _clock.Now + TimeSpan.FromSeconds(30), -1, -1, out var life);
        Assert.Equal(TimeSpan.FromSeconds(30), life);
        _clock.Now += TimeSpan.FromSeconds(30);
        Assert.Equal(TicketFault.Expired, broker.Verify(bytes, out _));
    }

    [Fact]
    public async Task Ticket_of_a_secret_that_is_not_known_yet_has_it_read()
    {
        await using var first = await OpenAsync("broker-1");
        await using var second = await OpenAsync("broker-2");
        var before = second.Own!;
        await first.ReplaceKeyAsync(default);
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (second.Verify(first.Own!, out _) is var fault && fault != TicketFault.None)
        {
            Assert.Equal(TicketFault.UnknownKey, fault);
            await Task.Delay(5, patience.Token);
        }
        Assert.NotEqual(before, second.Own);
        Assert.Equal(TicketFault.None, first.Verify(before, out _));
        await first.ReplaceKeyAsync(default);
        Assert.Equal(TicketFault.UnknownKey, first.Verify(before, out _));
    }

    [Fact]
    public async Task Broker_without_the_secret_has_no_ticket_and_gives_none_until_the_store_answers()
    {
        _store.ReadsFail = true;
        await using var broker = await OpenAsync("broker-1");
        Assert.Null(broker.Own);
        Assert.Equal(ErrorCode.CoordinatorNotAvailable,
            Assert.Throws<BrokerException>(() => broker.Issue("User:alice", null, -1, -1, out _)).Code);
        _store.ReadsFail = false;
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (broker.Own is null)
            await Task.Delay(5, patience.Token);
        Assert.Equal(TicketFault.None, broker.Verify(broker.Own!, out _));
    }

    private async Task<BrokerTickets> OpenAsync(string name)
    {
        var broker = new BrokerTickets(name, () => _store, EngineLog.Silent, _clock);
        await broker.OpenAsync(follows: true);
        return broker;
    }

    // Its timers are those of the machine.
    private sealed class SetClock : TimeProvider
    {
        public DateTimeOffset Now { get; set; } = new(2026, 11, 26, 12, 0, 0, TimeSpan.Zero);

        public override DateTimeOffset GetUtcNow() => Now;
    }
}
