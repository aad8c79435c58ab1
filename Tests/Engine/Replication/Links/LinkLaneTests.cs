using System.Threading.Channels;
using OrleansMq.Diagnostics;
using OrleansMq.Log;
using OrleansMq.Replication;
using OrleansMq.Replication.Links;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Replication.Links;

/// <summary>How many small bundles are on their way to a broker that is near, and to one that is far away.</summary>
public sealed class LinkLaneTests
{
    private const int Other = 2;
    private static readonly ReplicaKey s_key = new(Guid.NewGuid(), 0);
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    private readonly ManualClock _time = new();
    private readonly Network _network = new();
    private readonly ReplicaLink _link;

    public LinkLaneTests() =>
        _link = new ReplicaLinks(_network, _time, EngineLog.Silent, CatchUpPace.WholeTime).To(Other);

    [Fact]
    public async Task Small_bundles_wait_for_the_answer_of_a_broker_that_is_near()
    {
        await RoundTripAsync(TimeSpan.FromMilliseconds(0.9));
        Send();
        var first = await _network.NextAsync();
        Send();
        Send();
        Answer(first);
        Assert.Equal(2, MessagesOf(await _network.NextAsync()));
    }

    [Fact]
    public async Task Small_bundles_follow_each_other_to_a_broker_that_is_far_away_four_at_a_time()
    {
        await RoundTripAsync(TimeSpan.FromMilliseconds(1));
        var sent = new List<Bundle>();
        for (var number = 0; number < 4; number++)
        {
            Send();
            sent.Add(await _network.NextAsync());
        }
        Assert.All(sent, static bundle => Assert.Equal(1, MessagesOf(bundle)));
        Send();
        Send();
        _time.Advance(TimeSpan.FromMilliseconds(1));
        Answer(sent[2]);
        Assert.Equal(2, MessagesOf(await _network.NextAsync()));
    }

    [Fact]
    public async Task Shortest_round_trip_decides_until_it_is_old()
    {
        await RoundTripAsync(TimeSpan.FromMilliseconds(0.1));
        await RoundTripAsync(TimeSpan.FromMilliseconds(5));
        Send();
        var first = await _network.NextAsync();
        Send();
        Answer(first);
        Answer(await _network.NextAsync());
        await IdleAsync();
        _time.Advance(2 * ShortestRoundTrip.Window);
        await RoundTripAsync(TimeSpan.FromMilliseconds(5));
        Send();
        await _network.NextAsync();
        Send();
        Assert.Equal(1, MessagesOf(await _network.NextAsync()));
    }

    [Fact]
    public async Task Call_that_brings_no_answer_is_no_round_trip()
    {
        Send();
        (await _network.NextAsync()).Answers.SetException(new IOException("Reset."));
        await IdleAsync();
        await RoundTripAsync(TimeSpan.FromMilliseconds(5));
        Send();
        (await _network.NextAsync()).Answers.SetResult(default);
        await IdleAsync();
        await RoundTripAsync(TimeSpan.FromMilliseconds(5));
        Send();
        await _network.NextAsync();
        Send();
        Assert.Equal(1, MessagesOf(await _network.NextAsync()));
    }

    [Fact]
    public void Round_trips_of_two_windows_count()
    {
        var trips = new ShortestRoundTrip();
        Assert.False(trips.IsAtLeast(TimeSpan.Zero));
        trips.Took(TimeSpan.FromSeconds(1), TimeSpan.FromMilliseconds(3));
        Assert.True(trips.IsAtLeast(TimeSpan.FromMilliseconds(3)));
        trips.Took(TimeSpan.FromSeconds(11), TimeSpan.FromMilliseconds(5));
        Assert.False(trips.IsAtLeast(TimeSpan.FromMilliseconds(4)));
        trips.Took(TimeSpan.FromSeconds(22), TimeSpan.FromMilliseconds(7));
        Assert.True(trips.IsAtLeast(TimeSpan.FromMilliseconds(5)));
        trips.Took(TimeSpan.FromSeconds(62), TimeSpan.FromMilliseconds(9));
        Assert.True(trips.IsAtLeast(TimeSpan.FromMilliseconds(9)));
    }

    private async Task RoundTripAsync(TimeSpan duration)
    {
        Send();
        var bundle = await _network.NextAsync();
        _time.Advance(duration);
        Answer(bundle);
        await IdleAsync();
    }

    private Task IdleAsync() => _link.CloseAsync().WaitAsync(s_patience);

    private void Send() => _link.Send(s_key, new AlignAnswer(s_key.TopicId, 1, 1, 1, 1, new LeaderEpochEntry(1, 0), -1), PushLane.Live);

    private static void Answer(Bundle bundle) => bundle.Answers.SetResult(new byte[] { BundleFormat.Version });

    private static int MessagesOf(Bundle bundle) =>
        (bundle.Length - BundleFormat.EmptyBytes) / (BundleFormat.HeaderBytes + BundleFormat.AlignAnswerBytes);

    private sealed record Bundle(int Length, TaskCompletionSource<ReadOnlyMemory<byte>> Answers);

    private sealed class Network : IReplicationHost
    {
        private readonly Channel<Bundle> _bundles = Channel.CreateUnbounded<Bundle>();

        public async Task<Bundle> NextAsync() => await _bundles.Reader.ReadAsync().AsTask().WaitAsync(s_patience);

        public Task<ReadOnlyMemory<byte>> DeliverAsync(int broker, ReadOnlyMemory<byte> bundle, CancellationToken cancellationToken)
        {
            var sent = new Bundle(bundle.Length, new(TaskCreationOptions.RunContinuationsAsynchronously));
            Assert.True(_bundles.Writer.TryWrite(sent));
            return sent.Answers.Task;
        }

        public bool IsAlive(int broker) => true;

        public Task<StoredPartitionState?> ReadStateAsync(ReplicaKey key, CancellationToken cancellationToken) =>
            throw new NotSupportedException();

        public Task<string> WriteStateAsync(ReplicaKey key, PartitionState state, string etag, CancellationToken cancellationToken) =>
            throw new NotSupportedException();

        public ReplicaSpec? FindSpec(ReplicaKey key) => null;

        public void OnLeadershipChanged(Replica replica) => throw new NotSupportedException();
    }
}
