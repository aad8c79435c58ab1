using OrleansMq.Partitions.Cursors;
using OrleansMq.Queues;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>Dead letters whose records leave the log before they are published.</summary>
public sealed class DeletedDeadLettersTests
{
    private static readonly CursorConfiguration Configuration =
        new() { Name = "c", DeadLetterTarget = new DeadLetterTarget(PartitionRig.TopicId, 1) };

    [Fact]
    public async Task Log_start_does_not_move_past_a_dead_letter_that_was_decided_after_the_statements()
    {
        await using var rig = await PartitionRig.StartAsync();
        var offset = await RejectAsync(rig);
        var log = rig.Partition.Log!;
        // A statement above it.
        await rig.PassUntilAsync(() =>
        {
            rig.Partition.Cursors.Restate(offset + 1);
            return rig.StateOf().StatementOffset > offset;
        });
        Assert.False(log.TryMoveLogStart(offset + 1, rig.Partition.HighWatermark, rig.Clock.Now));
        Assert.True(log.TryMoveLogStart(offset, rig.Partition.HighWatermark, rig.Clock.Now));
        Assert.Equal(offset, log.LogStartOffset);
    }

    [Fact]
    public async Task Dead_letter_whose_record_is_deleted_does_not_count_as_published()
    {
        await using var rig = await PartitionRig.StartAsync();
        var away = new IsAway();
        rig.Partition.Ports.DeadLetters = away;
        var offset = await RejectAsync(rig);
        // The next attempt reads the record again.
        await away.Asked.WaitAsync(PartitionCursorsActions.Patience);
        rig.Partition.Log!.MoveLogStart(offset + 1, rig.Clock.Now);
        rig.Partition.Ports.DeadLetters = new TakesAll();
        await rig.PassUntilAsync(() => rig.StateOf().Intents.Count == 0);
        Assert.Equal((0, 1), (rig.StateOf().Total(SettlementCause.DeadLettered), rig.StateOf().Total(SettlementCause.Rejected)));
    }

    private static async Task<long> RejectAsync(PartitionRig rig)
    {
        await rig.BeginCursorAsync(Configuration);
        await rig.AppendAsync("bad");
        var consumer = await rig.AttachAsync();
        using var received = await consumer.ReceiveSomeAsync(1);
        var offset = received.Records[0].Record.Offset;
        Assert.Equal(CursorOutcome.Done, (await consumer.RejectAsync(received.Lock, OffsetRange.Of(offset))).Outcome);
        return offset;
    }

    private sealed class IsAway : IDeadLetterPort
    {
        private readonly TaskCompletionSource _asked = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Asked => _asked.Task;

        public Task<DeadLetterTarget> FindTargetAsync(TopicPartition source, string topic, DeadLetterTarget? current,
            CancellationToken cancellationToken) => throw new NotSupportedException();

        public Task<DeadLetterResult> PublishAsync(DeadLetterSource source, DeadLetterTarget target, IReadOnlyList<DeadLetter> letters,
            CancellationToken cancellationToken)
        {
            _asked.TrySetResult();
            return Task.FromResult<DeadLetterResult>(DeadLetterOutcome.Unknown);
        }
    }

    private sealed class TakesAll : IDeadLetterPort
    {
        public Task<DeadLetterTarget> FindTargetAsync(TopicPartition source, string topic, DeadLetterTarget? current,
            CancellationToken cancellationToken) => throw new NotSupportedException();

        public Task<DeadLetterResult> PublishAsync(DeadLetterSource source, DeadLetterTarget target, IReadOnlyList<DeadLetter> letters,
            CancellationToken cancellationToken) => Task.FromResult<DeadLetterResult>(DeadLetterOutcome.Published);
    }
}
