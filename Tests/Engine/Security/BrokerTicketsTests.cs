using System.Text;
using System.Text.Json;
using OrleansMq.Diagnostics;
using OrleansMq.Security;
using OrleansMq.Tests.Engine.Brokers;
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
        Assert.Equal(TicketFault.None, second.Verify(OwnOf(first), Target, out var ticket));
        Assert.Equal((TicketKind.Broker, "broker-1"), (ticket!.Kind, ticket.Principal));
        Assert.Equal(TicketFault.None, first.Verify(second.Issue("User:alice", null, 3, 7, out var life), default,
            out var alice));
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
            Assert.All(brokers, other => Assert.Equal(TicketFault.None, broker.Verify(OwnOf(other), Target, out _)));
            Assert.Equal(1, broker.Version);
        }
        foreach (var broker in brokers)
            await broker.DisposeAsync();
    }

    [Fact]
    public async Task Own_ticket_is_kept_for_half_its_life_and_renewed()
    {
        await using var broker = await OpenAsync("broker-1");
        var own = broker.For(Target)!;
        _clock.Now += TimeSpan.FromSeconds(149);
        Assert.True(broker.IsCurrent(own));
        _clock.Now += TimeSpan.FromSeconds(1);
        Assert.False(broker.IsCurrent(own));
        // Another broker's clock may be behind, or the call on its way.
        _clock.Now += TimeSpan.FromSeconds(149);
        Assert.Equal(TicketFault.None, broker.Verify(own.Bytes, Target, out _));
        _clock.Now += TimeSpan.FromSeconds(1);
        Assert.Equal(TicketFault.Expired, broker.Verify(own.Bytes, Target, out _));
        Assert.Equal(TicketFault.None, broker.Verify(OwnOf(broker), Target, out _));
    }

    [Fact]
    public async Task Verified_ticket_ends_at_its_time_all_the_same()
    {
        await using var broker = await OpenAsync("broker-1");
        var bytes = broker.Issue("User:alice", null, -1, -1, out _);
        Assert.Equal(TicketFault.None, broker.Verify(bytes, default, out _));
        Assert.Equal(TicketFault.None, broker.Verify((byte[])bytes.Clone(), default, out _));
        _clock.Now += BrokerTickets.ClientLife;
        Assert.Equal(TicketFault.Expired, broker.Verify(bytes, default, out var ticket));
        Assert.Null(ticket);
        Assert.Equal(TicketFault.Expired, broker.Verify((byte[])bytes.Clone(), default, out _));
    }

    [Fact]
    public async Task Ticket_with_the_end_of_a_verified_one_is_verified_itself()
    {
        await using var broker = await OpenAsync("broker-1");
        var bytes = broker.Issue("User:alice", null, -1, -1, out _);
        Assert.Equal(TicketFault.None, broker.Verify(bytes, default, out _));
        var other = (byte[])bytes.Clone();
        other[^33]++;
        Assert.Equal(TicketFault.Forged, broker.Verify(other, default, out _));
    }

    [Fact]
    public async Task Ticket_is_not_good_for_longer_than_its_credentials()
    {
        await using var broker = await OpenAsync("broker-1");
        var bytes = broker.Issue("User:alice", _clock.Now + TimeSpan.FromSeconds(30), -1, -1, out var life);
        Assert.Equal(TimeSpan.FromSeconds(30), life);
        _clock.Now += TimeSpan.FromSeconds(30);
        Assert.Equal(TicketFault.Expired, broker.Verify(bytes, default, out _));
    }

    [Fact]
    public async Task Ticket_of_a_secret_that_is_not_known_yet_has_it_read()
    {
        await using var first = await OpenAsync("broker-1");
        await using var second = await OpenAsync("broker-2");
        var before = second.For(Target)!;
        var alice = second.Issue("User:alice", null, -1, -1, out _);
        await first.ReplaceKeyAsync(default);
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (second.Verify(OwnOf(first), Target, out _) is var fault && fault != TicketFault.None)
        {
            Assert.Equal(TicketFault.UnknownKey, fault);
            await Task.Delay(5, patience.Token);
        }
        Assert.False(second.IsCurrent(before));
        Assert.Equal(TicketFault.None, first.Verify(before.Bytes, Target, out _));
        Assert.Equal(TicketFault.None, first.Verify(alice, default, out _));
        await first.DropOldKeysAsync(default);
        // The broker that made it reads the key; the client logs in.
        Assert.Equal(TicketFault.UnknownKey, first.Verify(before.Bytes, Target, out _));
        Assert.Equal(TicketFault.DroppedKey, first.Verify(alice, default, out _));
        Assert.Equal(TicketFault.None, first.Verify(OwnOf(first), Target, out _));
    }

    [Fact]
    public async Task Broker_without_the_secret_has_no_ticket_and_gives_none_until_the_store_answers()
    {
        _store.ReadsFail = true;
        await using var broker = await OpenAsync("broker-1");
        Assert.Null(broker.For(Target));
        Assert.Equal(ErrorCode.CoordinatorNotAvailable,
            Assert.Throws<BrokerException>(() => broker.Issue("User:alice", null, -1, -1, out _)).Code);
        _store.ReadsFail = false;
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (broker.For(Target) is null)
            await Task.Delay(5, patience.Token);
        Assert.Equal(TicketFault.None, broker.Verify(OwnOf(broker), Target, out _));
    }

    [Fact]
    public async Task Broker_ticket_is_good_at_its_target_alone_also_once_it_was_verified()
    {
        await using var first = await OpenAsync("broker-1");
        await using var second = await OpenAsync("broker-2");
        var ticket = OwnOf(first);
        foreach (var target in new[] { "another grain", "grain", "", "grain" })
            Assert.Equal(target == "grain" ? TicketFault.None : TicketFault.Forged,
                second.Verify(ticket, Encoding.UTF8.GetBytes(target), out _));
    }

    [Fact]
    public async Task Key_of_an_earlier_version_goes_on_until_it_is_replaced()
    {
        var before = new TicketDocument(1, Guid.NewGuid(), [TicketKey.Create() with { IsBound = false }]);
        await _store.WriteAsync(TicketDocument.Key, JsonSerializer.SerializeToUtf8Bytes(before, SecurityJson.Default.TicketDocument), null,
            default);
        var log = new RecordedLog();
        await using var broker = new BrokerTickets("broker-1", () => _store, log, _clock);
        await broker.OpenAsync(follows: false);
        Assert.Contains("replace-key", Assert.Single(log.At(EngineLogLevel.Warning)), StringComparison.Ordinal);
        // As brokers of the earlier version make and read them.
        var ticket = broker.For(Target)!;
        Assert.Same(ticket, broker.For("another grain"u8));
        Assert.False(TicketFormat.IsBound(ticket.Bytes));
        Assert.Equal(TicketFault.None, broker.Verify(ticket.Bytes, Target, out _));
        _clock.Now += TimeSpan.FromMinutes(29);
        Assert.True(broker.IsCurrent(ticket));

        await broker.ReplaceKeyAsync(default);
        Assert.False(broker.IsCurrent(ticket));
        Assert.Equal(TicketFault.None, broker.Verify(ticket.Bytes, Target, out _));
        Assert.True(TicketFormat.IsBound(OwnOf(broker)));
        await broker.DropOldKeysAsync(default);
        Assert.Equal(TicketFault.UnknownKey, broker.Verify(ticket.Bytes, Target, out _));
        Assert.Single(log.At(EngineLogLevel.Warning));
    }

    private static ReadOnlySpan<byte> Target => "grain"u8;

    private static byte[] OwnOf(BrokerTickets broker) => broker.For(Target)!.Bytes;

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
