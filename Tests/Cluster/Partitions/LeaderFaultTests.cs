using Orleans.Core.Internal;
using OrleansMq.Api;
using OrleansMq.Grains;
using OrleansMq.Grains.Partitions;
using OrleansMq.Replication;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Partitions;

/// <summary>Unexpected ends of a leadership: the leader is fenced, and nothing acknowledged is lost or duplicated.</summary>
public sealed class LeaderFaultTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    [SkippableFact]
    public async Task Second_activation_leads_in_a_later_epoch_and_the_first_ends()
    {
        var partition = await LedAsync("orders");
        await using var load = new Load(partition);
        for (var round = 0; round < 4; round++)
        {
            await load.WriteAsync(20);
            var epoch = 0;
            var (first, second) = (partition.Leaders.Single(), 1 + (partition.Leaders.Single() % 3));
            var ended = partition.ReplicaOn(first)!.LeadershipEnded;
            // As if Orleans activated the grain twice: this broker does not know of the other activation.
            await Wait.UntilAsync(async () =>
            {
                var stored = (await partition.StateAsync()).State;
                epoch = stored.LeaderEpoch;
                var found = new LeaderFinding(new LeaderChoice(second, Leads: false, []), stored, ErrorCode.None);
                var outcome = await Cluster.Get<PartitionLeadership>(second).LeadAsync(partition.Key, found, CancellationToken.None);
                Assert.True(outcome.Message is null || outcome.Error.Action() == ErrorAction.Retry, outcome.Message);
                return outcome.Message is null;
            }, "the second one leads");
            await ended.WaitAsync(Wait.Deadline);
            Assert.Equal([second], partition.Leaders);
            Assert.Equal(epoch + 1, (await partition.StateAsync()).State.LeaderEpoch);
            await load.WriteAsync(20);
            await partition.AllInSyncAsync();
        }
        await load.CheckAsync();
    }

    [SkippableTheory]
    [InlineData(false)] // The silo made the choice itself.
    [InlineData(true)] // The choice placed an activation.
    public async Task Superseded_search_takes_no_leadership(bool isActivated)
    {
        var partition = await LedAsync("orders");
        var (state, etag) = await partition.StateAsync();
        // The choice read the state before broker 1 resigned in favour of broker 2, and asked broker 1 afterwards.
        var overtaken = new LeaderFinding(new LeaderChoice(3, Leads: false, []), state, ErrorCode.None, etag);
        await partition.HandOverAsync(2);
        var leadership = Cluster.Get<PartitionLeadership>(3);
        if (isActivated)
            Cluster.Get<LeaderFindings>(3).Put(partition.Key, overtaken);
        var outcome = isActivated ? await leadership.LeadAsync(partition.Key, CancellationToken.None)
            : await leadership.LeadAsync(partition.Key, overtaken, CancellationToken.None);
        Assert.Equal(ErrorAction.Retry, outcome.Error.Action());
        // The choice that placed an activation is valid for a second. After a longer pause the activation searches again and finds the
        // leader.
        Assert.True(outcome.Message!.Contains("another leadership is stored", StringComparison.Ordinal)
            || (isActivated && outcome.Message.Contains("Broker 2 leads", StringComparison.Ordinal)), outcome.Message);
        Assert.Equal([2], partition.Leaders);
        Assert.Equal(2, (await partition.StateAsync()).State.Leader);
        Assert.Equal(ReplicaRole.Follower, partition.ReplicaOn(3)!.Role);
    }

    [SkippableFact]
    public async Task Leader_whose_state_was_overwritten_steps_down_and_the_next_claim_succeeds()
    {
        var partition = await LedAsync("orders");
        var ended = partition.ReplicaOn(1)!.LeadershipEnded;
        var (state, etag) = await partition.StateAsync();
        await Cluster.Get<IPartitionStates>(2).WriteAsync(partition.Key,
            state with { LeaderToken = Guid.NewGuid(), LeaderEpoch = state.LeaderEpoch + 1 }, etag);
        // The leader learns of it at its next write: its follower leaves the ISR.
        await Cluster.StopAsync(3);
        await ended.WaitAsync(Wait.Deadline);
        await Wait.UntilAsync(() => partition.Leaders.Length == 1, "a leader again");
        Assert.True((await partition.StateAsync()).State.LeaderEpoch >= state.LeaderEpoch + 2);
        Assert.Equal(1, await partition.AppendAsync(2, "b"));
        Assert.Equal([(0L, "first"), (1L, "b")], await partition.ReadAllAsync(2));
    }

    [SkippableFact]
    public async Task Leadership_survives_repeated_activations()
    {
        var partition = await LedAsync("orders");
        await using var load = new Load(partition);
        for (var round = 0; round < 5; round++)
        {
            await load.WriteAsync(20);
            await partition.Grain(2).Cast<IGrainManagementExtension>().DeactivateOnIdle();
            Assert.Equal([1], partition.Leaders);
        }
        await load.WriteAsync(20);
        await load.CheckAsync();
        Assert.Equal(1, (await partition.StateAsync()).State.LeaderEpoch);
    }

    [SkippableFact]
    public async Task Partition_without_eligible_leader_fails_calls_at_once_until_an_operator_decides()
    {
        var partition = await Cluster.CreateAsync("orders", 0, null, 2, 3);
        await partition.AppendAsync(1, "first");
        await partition.AllInSyncAsync();
        await Cluster.StopAsync(3);
        await Wait.UntilAsync(() => partition.ReplicaOn(2)!.State is { Isr.Length: 1 }, "broker 3 has left");
        Assert.Equal(1, await partition.AppendAsync(1, "lost"));
        await Cluster.StopAsync(2);
        await Cluster.StartAsync(3);
        await Cluster.SettleAsync();
        await Wait.UntilAsync(async () =>
        {
            var refused = await partition.TryAppendAsync(1, TestBatches.Of("x"));
            Assert.NotEqual(ErrorCode.None, refused.Error);
            return refused.Error == ErrorCode.LeaderNotAvailable && refused.Message!.Contains("broker 2 is down", StringComparison.Ordinal);
        }, "the reason for the missing leader is reported");
        using var read = await partition.Grain(3).ReadAsync(new PartitionRead(0));
        Assert.Equal(ErrorCode.LeaderNotAvailable, read.Error);
        Assert.Equal(ErrorCode.LeaderNotAvailable, (await Assert.ThrowsAsync<BrokerException>(() => partition.Leader(1).LeadAsync())).Code);

        var elected = Cluster.Get<LeaderServiceClient>(1).Of(Cluster.Get<ILocalSiloDetails>(3).SiloAddress);
        await elected.LeadUncleanAsync(GrainKeys.Partition(partition.Key.TopicId, 0));
        Assert.Equal([3], partition.Leaders);
        Assert.Equal(1, await partition.AppendAsync(1, "second"));
        Assert.Equal([(0L, "first"), (1L, "second")], await partition.ReadAllAsync(1));
        Assert.Equal(ErrorCode.ElectionNotNeeded,
            (await Assert.ThrowsAsync<BrokerException>(() =>
                elected.LeadUncleanAsync(GrainKeys.Partition(partition.Key.TopicId, 0)))).Code);
    }

    private async Task<TestPartition> LedAsync(string topic)
    {
        var partition = await Cluster.CreateAsync(topic, 0, null, 1, 2, 3);
        Assert.Equal(0, await partition.AppendAsync(2, "first"));
        await partition.AllInSyncAsync();
        return partition;
    }

    /// <summary>An idempotent producer that appends through all brokers in turn, one batch after the other.</summary>
    private sealed class Load : IAsyncDisposable
    {
        private readonly TestPartition _partition;
        private readonly CancellationTokenSource _stop = new();
        private readonly Task _writing;
        private volatile int _written;

        public Load(TestPartition partition)
        {
            _partition = partition;
            _writing = Task.Run(async () =>
            {
                for (var producer = new ProducerIdentity(1, 0); !_stop.IsCancellationRequested; _written++)
                    await partition.AppendAsync(1 + (_written % 3), TestBatches.From(producer, _written, $"{_written}"));
            });
        }

        /// <summary>Waits for that many more acknowledgements.</summary>
        public Task WriteAsync(int count)
        {
            var until = _written + count;
            return Wait.UntilAsync(() => _written >= until || _writing.IsFaulted, "appends are acknowledged");
        }

        /// <summary>Stops the load and checks that acknowledged records are present once and in order.</summary>
        public async Task CheckAsync()
        {
            await _stop.CancelAsync();
            await _writing;
            var read = await _partition.ReadAllAsync(2);
            Assert.Equal(Enumerable.Range(0, _written).Select(i => $"{i}").Prepend("first"), read.Select(record => record.Value));
            Assert.Equal(Enumerable.Range(0, read.Count).Select(i => (long)i), read.Select(record => record.Offset));
        }

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await Task.WhenAny(_writing);
            _stop.Dispose();
        }
    }
}
