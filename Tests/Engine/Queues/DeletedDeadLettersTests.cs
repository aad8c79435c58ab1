using OrleansMq.Partitions.Cursors;
using OrleansMq.Queues;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>Dead letters whose records leave the log before they are published.</summary>
public sealed class DeletedDeadLettersTests
{
    private static readonly CursorConfiguration Configuration =
        new() { Name = "c", DeadLetterTarget = new DeadLetterTarget(PartitionRig.TopicId, 1) };

    private static readonly TopicConfig Compacted = TopicConfig.Default with { CleanupCompact = true, CleanupDelete = false,
        SegmentBytes = 2000, FileDeleteDelayMs = 0 };

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

    [Fact]
    public async Task Compaction_keeps_a_record_that_is_being_dead_lettered()
    {
        await using var rig = await PartitionRig.StartAsync(Compacted);
        var away = new IsAway();
        rig.Partition.Ports.DeadLetters = away;
        var offset = await RejectAsync(rig);
        // Its successor, and what rolls both out of the active segment.
        await rig.AppendAsync("bad");
        await rig.AppendManyAsync(100);
        rig.Store.RunCompaction();
        Assert.Contains((offset, "bad"), await rig.ReadAllAsync());
        var target = new TakesAll();
        rig.Partition.Ports.DeadLetters = target;
        await rig.PassUntilAsync(() => rig.StateOf().Intents.Count == 0);
        Assert.Equal((1, 0), (rig.StateOf().Total(SettlementCause.DeadLettered), rig.StateOf().Total(SettlementCause.Rejected)));
        Assert.Equal(1, target.Taken);
        rig.Store.RunCompaction();
        Assert.DoesNotContain((offset, "bad"), await rig.ReadAllAsync());
    }

    [Fact]
    public async Task Compaction_keeps_a_record_whose_dead_lettering_begins_during_the_pass()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(Compacted, files);
        rig.Partition.Ports.DeadLetters = new IsAway();
        await rig.BeginCursorAsync(Configuration);
        await rig.AppendAsync("bad");
        var consumer = await rig.AttachAsync();
        using var received = await consumer.ReceiveSomeAsync(1);
        var offset = received.Records[0].Record.Offset;
        await rig.AppendAsync("bad");
        await rig.AppendManyAsync(100);
        CursorOutcome? rejected = null;
        files.OnWrite = (path, _, _) =>
        {
            if (path.EndsWith(".cleaned", StringComparison.Ordinal))
                rejected ??= RejectNow(consumer, received.Lock, offset);
        };
        rig.Store.RunCompaction();
        Assert.Equal(CursorOutcome.Done, rejected);
        Assert.Contains((offset, "bad"), await rig.ReadAllAsync());
        rig.Partition.Ports.DeadLetters = new TakesAll();
        await rig.PassUntilAsync(() => rig.StateOf().Intents.Count == 0);
        Assert.Equal((1, 0), (rig.StateOf().Total(SettlementCause.DeadLettered), rig.StateOf().Total(SettlementCause.Rejected)));
    }

    // On the compaction's thread, which waits.
    private static CursorOutcome RejectNow(CursorAttachment consumer, LockToken token, long offset) =>
        consumer.RejectAsync(token, OffsetRange.Of(offset)).WaitAsync(PartitionCursorsActions.Patience).GetAwaiter().GetResult().Outcome;

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
        private int _taken;

        public int Taken => Volatile.Read(ref _taken);

        public Task<DeadLetterTarget> FindTargetAsync(TopicPartition source, string topic, DeadLetterTarget? current,
            CancellationToken cancellationToken) => throw new NotSupportedException();

        public Task<DeadLetterResult> PublishAsync(DeadLetterSource source, DeadLetterTarget target, IReadOnlyList<DeadLetter> letters,
            CancellationToken cancellationToken)
        {
            Interlocked.Add(ref _taken, letters.Count);
            return Task.FromResult<DeadLetterResult>(DeadLetterOutcome.Published);
        }
    }
}
