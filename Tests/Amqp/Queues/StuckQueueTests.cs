using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Records;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>Queues whose partition has no leader or too few replicas, beside others: they share the room for batches.</summary>
public sealed class StuckQueueTests
{
    private const int Stuck = 6;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private static readonly AmqpMessage Message = new("", "q", ContentProperties.None, new byte[1_000], 1);

    private readonly ManualClock _clock = new();
    private readonly BatchRoom _room = new(4L * Message.Bytes);
    private readonly LeaderlessBroker _broker = new();

    [Theory]
    [InlineData(ErrorCode.NotLeaderOrFollower)]
    [InlineData(ErrorCode.LeaderNotAvailable)]
    [InlineData(ErrorCode.NotEnoughReplicas)]
    public async Task Batches_that_wait_for_a_leader_hold_no_room_between_attempts(ErrorCode error)
    {
        _broker.Answer = (_, _) => new(ProduceResult.Failed(error, "Retry."));
        var began = _clock.GetUtcNow();
        var stuck = Enumerable.Range(0, Stuck).Select(i => LaneOf($"stuck-{i}").AddAsync(Message, null, null)).ToArray();
        await UntilAsync(() => _broker.Attempts == Stuck);
        // No time goes by.
        Assert.Equal(PublishOutcome.Accepted, await LaneOf("healthy").AddAsync(Message, null, null).WaitAsync(Patience));
        Assert.All(stuck, static one => Assert.False(one.IsCompleted));
        var all = Task.WhenAll(stuck);
        await _clock.AdvanceUntilAsync(all, TimeSpan.FromSeconds(20), ClockSteps.Small);
        Assert.All(await all.WaitAsync(Patience), static one => Assert.Equal(PublishOutcome.Unknown, one));
        Assert.InRange(_room.MostBytes, Message.Bytes, 4L * Message.Bytes);
        Assert.True(_clock.GetUtcNow() - began >= TimeSpan.FromSeconds(15));
    }

    [Fact]
    public async Task Further_attempts_that_take_long_leave_most_of_the_room_to_others()
    {
        var held = new List<TaskCompletionSource<ProduceResult>>();
        _broker.Answer = (_, attempt) =>
        {
            if (attempt == 1)
                return new(ProduceResult.Failed(ErrorCode.NotEnoughReplicas, "Retry."));
            var one = new TaskCompletionSource<ProduceResult>(TaskCreationOptions.RunContinuationsAsynchronously);
            lock (held)
                held.Add(one);
            return new(one.Task);
        };
        var stuck = Enumerable.Range(0, Stuck).Select(i => LaneOf($"stuck-{i}").AddAsync(Message, null, null)).ToArray();
        await UntilAsync(() => _broker.Attempts == Stuck);
        var all = Task.WhenAll(stuck);
        await _clock.AdvanceUntilAsync(UntilAsync(() => Count() == 1 && _room.Waiting == Stuck - 1), TimeSpan.FromSeconds(5),
            ClockSteps.Small);
        Assert.Equal(PublishOutcome.Accepted, await LaneOf("healthy").AddAsync(Message, null, null).WaitAsync(Patience));
        Assert.Equal(1, Count());
        // Those that have no room for another attempt in time are answered. The one under way may have been stored.
        await _clock.AdvanceUntilAsync(UntilAsync(() => stuck.Count(static one => one.IsCompleted) == Stuck - 1), TimeSpan.FromSeconds(20),
            ClockSteps.Small);
        held[0].SetResult(new ProduceResult(ErrorCode.None, 0));
        var outcomes = await all.WaitAsync(Patience);
        Assert.Equal((1, Stuck - 1), (outcomes.Count(static one => one == PublishOutcome.Accepted),
            outcomes.Count(static one => one == PublishOutcome.Unknown)));
        Assert.Equal(0, _room.Waiting);

        int Count()
        {
            lock (held)
                return held.Count;
        }
    }

    [Fact]
    public async Task Batch_whose_partition_gets_a_leader_is_stored_once_with_its_own_bytes()
    {
        var stored = new List<string>();
        _broker.Answer = (batch, attempt) =>
        {
            if (attempt < 3)
            {
                // A leader stamps what it gets.
                batch.Span.Clear();
                return new(ProduceResult.Failed(ErrorCode.LeaderNotAvailable, "Retry."));
            }
            using var reader = new RecordReader(batch, CompressionCodecs.Empty);
            while (reader.MoveNext())
                stored.Add(System.Text.Encoding.UTF8.GetString(reader.Current.Value!.Value.Span));
            return new(new ProduceResult(ErrorCode.None, 0));
        };
        var message = new AmqpMessage("", "q", ContentProperties.None, "hello"u8.ToArray(), 1);
        var published = LaneOf("stuck-0").AddAsync(message, null, null);
        await _clock.AdvanceUntilAsync(published, TimeSpan.FromSeconds(5), ClockSteps.Small);
        Assert.Equal(PublishOutcome.Accepted, await published);
        Assert.Equal(["hello"], stored);
    }

    private PublishLane LaneOf(string topic) => new(new LogAppender(_broker, new TopicPartition(topic, 0), $"queue '{topic}'", _clock,
        EngineLog.Silent).AppendAsync, time: _clock, room: _room);

    private static async Task UntilAsync(Func<bool> condition)
    {
        var deadline = DateTime.UtcNow + Patience;
        while (!condition())
        {
            Assert.True(DateTime.UtcNow < deadline, "It did not happen in time.");
            await Task.Delay(5);
        }
    }

    /// <summary>A broker that takes what goes to the healthy partition.</summary>
    private sealed class LeaderlessBroker() : ForwardingBroker(null!)
    {
        private readonly Dictionary<string, int> _attempts = [];

        public Func<Memory<byte>, int, ValueTask<ProduceResult>> Answer { get; set; } = null!;

        public int Attempts
        {
            get
            {
                lock (_attempts)
                    return _attempts.Values.Sum();
            }
        }

        public override ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
            CancellationToken cancellationToken = default)
        {
            if (partition.Topic == "healthy")
                return new(new ProduceResult(ErrorCode.None, 0));
            int attempt;
            lock (_attempts)
                attempt = _attempts[partition.Topic] = _attempts.GetValueOrDefault(partition.Topic) + 1;
            return Answer(batch, attempt);
        }
    }
}
