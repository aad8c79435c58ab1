using OrleansMq.Client;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>The requests of a classic member to the coordinator, and its notifications to the application, while another member joins and
/// leaves. Kept as text, so that a change shows as a text diff.</summary>
public sealed class ClassicTranscriptTests
{
    private const string Topic = "orders";

    [Fact]
    public Task Cooperative_member_keeps_reading_retained_partitions() => CheckAsync("cooperative-sticky", """
        joins anew by cooperative-sticky, reads orders, holds nothing
            MemberIdRequired
        joins as a member by cooperative-sticky, reads orders, holds nothing
            generation 1 by cooperative-sticky, leads 1
        syncs in 1, assigns to 1
            is to read 0 1
        assigned 0 1
        asks where to read: 0=none 1=none
        beats in 1: RebalanceInProgress
        joins as a member by cooperative-sticky, reads orders, holds 0 1
            generation 2 by cooperative-sticky, leads 2
        syncs in 2, assigns to 2
            is to read 0
        revoked 1
        joins as a member by cooperative-sticky, reads orders, holds 0
            generation 3 by cooperative-sticky, leads 2
        syncs in 3, assigns to 2
            is to read 0
        beats in 3: RebalanceInProgress
        joins as a member by cooperative-sticky, reads orders, holds 0
            generation 4 by cooperative-sticky, leads 1
        syncs in 4, assigns to 1
            is to read 0 1
        assigned 1
        asks where to read: 1=none
        revoked 0 1
        leaves: None
        """);

    [Fact]
    public Task Eager_member_revokes_all_partitions_before_it_joins() => CheckAsync("range", """
        joins anew by range, reads orders, holds nothing
            MemberIdRequired
        joins as a member by range, reads orders, holds nothing
            generation 1 by range, leads 1
        syncs in 1, assigns to 1
            is to read 0 1
        assigned 0 1
        asks where to read: 0=none 1=none
        beats in 1: RebalanceInProgress
        revoked 0 1
        joins as a member by range, reads orders, holds nothing
            generation 2 by range, leads 2
        syncs in 2, assigns to 2
            is to read 0
        assigned 0
        asks where to read: 0=none
        beats in 2: RebalanceInProgress
        revoked 0
        joins as a member by range, reads orders, holds nothing
            generation 3 by range, leads 1
        syncs in 3, assigns to 1
            is to read 0 1
        assigned 0 1
        asks where to read: 0=none 1=none
        revoked 0 1
        leaves: None
        """);

    private static async Task CheckAsync(string assignor, string expected)
    {
        await using var broker = await TestBroker.StartAsync();
        await broker.Client.Admin.CreateTopicAsync(Topic, 2);
        var recorded = new RecordedGroups(broker.Broker.Groups);
        var heard = new Heard(recorded);
        // Member ids begin with the client's name. The first sorts before the second in every assignor.
        var options = new ConsumerOptions
        {
            GroupId = "billing",
            ClientId = "a",
            AutoOffsetReset = AutoOffsetReset.Earliest,
            AutoCommit = false,
            Protocol = GroupType.Classic,
            Assignors = [assignor],
            HeartbeatInterval = TimeSpan.FromMilliseconds(20),
            SessionTimeout = TimeSpan.FromSeconds(30),
            RebalanceListener = heard,
        };
        await using (var consumer = new OrleansMqClient(new GroupedBroker(broker.Broker, recorded)).CreateConsumer<int, int>(options))
        {
            consumer.Subscribe(Topic);
            await SettledAsync(recorded, expected, 1);
            await using (var second = broker.Client.CreateConsumer<int, int>(options with { ClientId = "b", RebalanceListener = null }))
            {
                second.Subscribe(Topic);
                await SettledAsync(recorded, expected, assignor == "range" ? 2 : 3);
                await Wait.UntilAsync(() => second.Assignment.Count == 1, "the second has its half");
            }
            await SettledAsync(recorded, expected, assignor == "range" ? 3 : 4);
        }
        Assert.Equal(expected, recorded.Text);
    }

    /// <summary>Waits until the member has completed its work of this generation and awaits the next one, or has left.</summary>
    private static Task SettledAsync(RecordedGroups recorded, string expected, int generation)
    {
        var next = expected.IndexOf($"\nbeats in {generation}: ", StringComparison.Ordinal);
        var lines = expected[..(next > 0 ? next : expected.LastIndexOf("\nrevoked", StringComparison.Ordinal))].Count(character =>
            character == '\n');
        return Wait.UntilAsync(() => recorded.Beaten == generation && recorded.Text.Count(character => character == '\n') >= lines,
            $"generation {generation}");
    }

    private sealed class Heard(RecordedGroups recorded) : IRebalanceListener
    {
        public ValueTask OnAssignedAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions,
            CancellationToken cancellationToken) => Tell("assigned", partitions);

        public ValueTask OnRevokedAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions,
            CancellationToken cancellationToken) => Tell("revoked", partitions);

        public ValueTask OnLostAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions, CancellationToken cancellationToken) =>
            Tell("lost", partitions);

        private ValueTask Tell(string what, IReadOnlyList<TopicPartition> partitions)
        {
            recorded.Tell($"{what} {RecordedGroups.Print(partitions)}");
            return default;
        }
    }
}
