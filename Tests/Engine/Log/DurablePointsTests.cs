using OrleansMq.Log;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Log;

/// <summary>What a log knows to be durable, in memory and in its file.</summary>
public sealed class DurablePointsTests
{
    private const string Directory = "/p";
    private const int SlotBytes = 512;
    private static readonly LogPosition Begin = new(0, 0, 0);
    private static readonly LogPosition Middle = new(20, 10, 900);
    private static readonly LogPosition End = new(35, 30, 400);

    private readonly MemoryFileSystem _memory = new();
    private readonly FaultyFiles _files;
    private readonly DurablePoints _points;
    private int _flushes;

    public DurablePointsTests()
    {
        _memory.CreateDirectory(Directory);
        _memory.FlushDirectory("/");
        _files = new FaultyFiles(_memory) { OnFlush = _ => _flushes++ };
        _points = new DurablePoints(new FileHandleCache(_files, 4), Directory);
        _points.Create(Begin);
        _flushes = 0;
    }

    [Fact]
    public void New_log_is_durable_at_its_start()
    {
        Assert.Equal((Begin, Begin, 0L, 0L),
            (_points.RecoveryPoint, _points.FlushedPoint, _points.LogStartOffset, _points.SecuredOffset));
        Assert.Equal(new CheckpointState(0, Begin, Begin, StateKinds.None), Stored());
    }

    [Fact]
    public void Flushed_point_is_secured_by_the_next_write()
    {
        _points.NoteFlushed(Middle);
        Assert.Equal((Middle, 0L), (_points.FlushedPoint, _points.SecuredOffset));
        Assert.Equal(Begin, Stored().FlushedPoint);
        _points.Secure();
        Assert.Equal(Middle.Offset, _points.SecuredOffset);
        Assert.Equal((Begin, Middle), (Stored().RecoveryPoint, Stored().FlushedPoint));
        Assert.Equal(1, _flushes);
        _points.Secure();
        Assert.Equal(1, _flushes);
    }

    [Fact]
    public void Flushed_point_covers_what_is_before_it()
    {
        _points.NoteFlushed(Middle);
        Assert.True(_points.Covers(Middle));
        Assert.True(_points.Covers(Middle with { Offset = 19, Position = 850 }));
        Assert.False(_points.Covers(End));
        // The same offset, in the segment that begins there: its file and the directory's entry may not be durable.
        Assert.False(_points.Covers(new LogPosition(Middle.Offset, Middle.Offset, 0)));
    }

    [Fact]
    public void Recovery_point_is_stored_with_its_snapshot()
    {
        _points.NoteFlushed(End);
        _points.MoveRecoveryPoint(End, StateKinds.Producers);
        Assert.Equal(new CheckpointState(0, End, End, StateKinds.Producers), Stored());
        Assert.Equal(End.Offset, _points.SecuredOffset);
    }

    [Fact]
    public void Log_start_survives_damage_to_either_slot()
    {
        Assert.True(_points.TryMoveLogStart(7));
        Assert.Equal(7, _points.LogStartOffset);
        AssertInBothSlots(state => state.LogStartOffset == 7);
    }

    [Fact]
    public void Log_start_never_moves_back()
    {
        _points.TryMoveLogStart(7);
        Assert.False(_points.TryMoveLogStart(7));
        Assert.False(_points.TryMoveLogStart(3));
        Assert.Equal((7L, 7L), (_points.LogStartOffset, Stored().LogStartOffset));
    }

    [Fact]
    public void Log_start_is_not_visible_if_it_could_not_be_stored()
    {
        _files.OnFlush = _ => throw new IOException("Input/output error");
        Assert.Throws<IOException>(() => _points.TryMoveLogStart(7));
        Assert.Equal(0, _points.LogStartOffset);
    }

    [Fact]
    public void Points_beyond_a_cut_move_back_to_it()
    {
        _points.NoteFlushed(End);
        _points.MoveRecoveryPoint(End, StateKinds.None);
        _points.Lower(Middle, StateKinds.Producers);
        // The recovery point moves to the start of its segment: the time index is complete only there.
        var expected = new CheckpointState(0, new LogPosition(10, 10, 0), Middle, StateKinds.Producers);
        AssertInBothSlots(state => state == expected);
        Assert.Equal(Middle.Offset, _points.SecuredOffset);
    }

    [Fact]
    public void Points_before_a_cut_stay()
    {
        _points.NoteFlushed(Middle);
        _points.MoveRecoveryPoint(Middle, StateKinds.None);
        _points.Lower(End, StateKinds.Producers);
        Assert.Equal(new CheckpointState(0, Middle, Middle, StateKinds.None), Stored());
    }

    [Fact]
    public void Emptying_is_stored_before_and_after()
    {
        _points.NoteFlushed(End);
        _points.MoveRecoveryPoint(End, StateKinds.Producers);
        _points.Settle(Guid.NewGuid(), Guid.Empty, 3, true);
        _points.NoteHighWatermark(35);
        var marks = _points.Marks with { HighWatermark = 1000 };
        _points.BeginEmptying(1000);
        AssertInBothSlots(state => state is { IsBeingEmptied: true, LogStartOffset: 1000, FlushedPoint.IsKnown: false });
        Assert.Equal((0L, marks), (_points.SecuredOffset, Stored().Replica));

        var start = new LogPosition(1000, 1000, 0);
        _points.StartAt(start);
        AssertInBothSlots(state => state == new CheckpointState(1000, start, start, StateKinds.None, Replica: marks));
        Assert.Equal((1000L, 1000L), (_points.LogStartOffset, _points.SecuredOffset));
    }

    [Fact]
    public void High_watermark_is_stored_with_the_next_write()
    {
        _points.NoteHighWatermark(12);
        Assert.Equal(12, _points.Marks.HighWatermark);
        Assert.Equal(0, Stored().Replica.HighWatermark);
        _points.NoteFlushed(Middle);
        _points.Secure();
        Assert.Equal(12, Stored().Replica.HighWatermark);
        _points.WriteHighWatermark();
        Assert.Equal(1, _flushes);
        _points.NoteHighWatermark(13);
        _points.WriteHighWatermark();
        Assert.Equal((13L, 2), (Stored().Replica.HighWatermark, _flushes));
    }

    [Fact]
    public void Marks_stay_if_they_could_not_be_stored()
    {
        _points.Settle(Guid.NewGuid(), Guid.NewGuid(), 3, true);
        var stored = _points.Marks;
        _files.OnFlush = _ => throw new IOException("Input/output error");
        Assert.Throws<IOException>(() => _points.RaiseFence(4));
        Assert.Equal(stored, _points.Marks);
    }

    [Fact]
    public void Each_mark_changes_alone_and_the_fence_never_goes_back()
    {
        _points.Settle(Guid.NewGuid(), Guid.NewGuid(), 3, true);
        var marks = _points.Marks;
        _points.RaiseFence(5);
        _points.RaiseFence(4);
        _points.GiveUpCountingOnlyFlushed();
        Assert.Equal(marks with { Fence = 5, CountedOnlyFlushed = false }, Stored().Replica);
        _points.BeginCountingOnlyFlushed();
        _points.Settle(marks.Incarnation, marks.BootId, 4, true);
        Assert.Equal(marks with { Fence = 5 }, Stored().Replica);
        _points.ForgetIncarnation();
        _points.GiveUpCountingOnlyFlushed();
        _points.BeginCountingOnlyFlushed();
        Assert.Equal(marks with { Incarnation = Guid.Empty, Fence = 5, CountedOnlyFlushed = false }, Stored().Replica);
        var flushes = _flushes;
        _points.RaiseFence(5);
        Assert.Equal(flushes, _flushes);
    }

    [Fact]
    public void Incarnation_is_forgotten_without_a_flush()
    {
        _points.Settle(Guid.NewGuid(), Guid.NewGuid(), 3, true);
        _files.OnFlush = _ => throw new IOException("Input/output error");
        _points.ForgetIncarnation();
        Assert.Equal((Guid.Empty, 3), (_points.Marks.Incarnation, _points.Marks.Fence));
        Assert.Equal(Guid.Empty, Stored().Replica.Incarnation);
    }

    [Fact]
    public void Stored_state_is_loaded_by_the_next_process()
    {
        _points.NoteFlushed(End);
        _points.MoveRecoveryPoint(Middle, StateKinds.Producers);
        _points.TryMoveLogStart(15);
        _points.Settle(Guid.NewGuid(), Guid.Empty, 3, true);
        var next = new DurablePoints(new FileHandleCache(_memory, 4), Directory);
        Assert.True(next.TryRead(out var state));
        next.Load(state, state.LogStartOffset, state.RecoveryPoint);
        Assert.Equal((15L, Middle, End, End.Offset, _points.Marks),
            (next.LogStartOffset, next.RecoveryPoint, next.FlushedPoint, next.SecuredOffset, next.Marks));
    }

    [Fact]
    public void Transactions_are_remembered_until_the_log_is_emptied()
    {
        _points.MoveRecoveryPoint(Middle, StateKinds.None, hasTransactions: true);
        Assert.True(Stored().HasTransactions);
        _points.MoveRecoveryPoint(End, StateKinds.None);
        _points.Lower(Middle, StateKinds.None);
        AssertInBothSlots(static state => state.HasTransactions);
        _points.BeginEmptying(1000);
        _points.StartAt(new LogPosition(1000, 1000, 0));
        AssertInBothSlots(static state => !state.HasTransactions);
    }

    private void AssertInBothSlots(Predicate<CheckpointState> expected)
    {
        Assert.True(expected(Stored()), $"{Stored()}");
        for (var slot = 0; slot < 2; slot++)
        {
            using var file = _memory.Open(Path.Combine(Directory, LogFiles.Checkpoint), FileOpening.ReadWrite);
            var whole = new byte[SlotBytes];
            file.Read(whole, slot * SlotBytes);
            file.Write(new byte[SlotBytes], slot * SlotBytes);
            Assert.True(expected(Stored()), $"without slot {slot}: {Stored()}");
            file.Write(whole, slot * SlotBytes);
        }
    }

    private CheckpointState Stored()
    {
        Assert.True(new PartitionCheckpoint(_memory, Directory).TryRead(out var state));
        return state;
    }
}
