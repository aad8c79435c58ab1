using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Compaction;

/// <summary>What a cleaning does with the records and the markers of transactions.</summary>
public sealed class MarkerCompactionTests
{
    private readonly TransactionalLog _log = new(new MemoryFileSystem());

    private long Stable => _log.Log.State.Transactions.StableOffset(_log.Log.LogEndOffset);

    [Fact]
    public void Marker_stays_while_a_record_of_its_transaction_does()
    {
        _log.Data(7, "kept", "1");
        _log.Data(7, "later", "1");
        _log.End(7, isCommit: true);
        _log.Data(7, "last", "1");
        _log.End(7, isCommit: true);
        _log.Forget();
        CleanOften(static log => log.Dirty("later"));
        Assert.Contains(2, _log.Markers());
        Assert.Equal((0, false), (_log.Headers()[0].BaseOffset, _log.HeaderAt(2).HasDeleteHorizon));
        CleanOften(static log => log.Dirty("kept"));
        Assert.Equal([4], _log.Markers());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Marker_goes_after_delete_retention_since_a_cleaning_first_found_no_record(bool isCommit)
    {
        _log.Data(7, "a", "1");
        _log.End(7, isCommit);
        _log.Test.Roll();
        _log.Dirty("a");
        _log.Forget();
        _log.Test.Time.Advance(1_000_000);
        // The record goes.
        _log.Test.Compact();
        Assert.Equal((2, false), (_log.Headers()[0].BaseOffset + 1, _log.HeaderAt(1).HasDeleteHorizon));
        // None is found.
        _log.Test.Time.Advance(1_000_000);
        _log.Dirty("a");
        _log.Test.Compact();
        var found = _log.HeaderAt(1);
        Assert.Equal((true, _log.Test.Time.NowMs + 1000), (found.HasDeleteHorizon, found.BaseTimestamp));
        Assert.Equal(isCommit, _log.MarkerAt(1)!.Value.IsCommit);
        _log.Test.Time.Advance(1000);
        _log.Dirty("a");
        _log.Test.Compact();
        Assert.Equal([1], _log.Markers());
        _log.Test.Time.Advance(1);
        _log.Dirty("a");
        _log.Test.Compact();
        Assert.Empty(_log.Markers());
        Assert.Equal(2, _log.Log.ErasedEndOffset);
    }

    [Fact]
    public void Marker_with_a_delete_horizon_tells_the_same()
    {
        _log.Data(7, "a", "1");
        _log.End(7, isCommit: false, coordinatorEpoch: 5);
        _log.Forget();
        var before = _log.MarkerAt(1);
        _log.Dirty("a");
        _log.Test.Compact();
        _log.Dirty("a");
        _log.Test.Compact();
        Assert.True(_log.HeaderAt(1).HasDeleteHorizon);
        Assert.Equal(before, _log.MarkerAt(1));
        Assert.Equal(5, before!.Value.CoordinatorEpoch);
    }

    /// <summary>What was found in a group of segments counts for the markers of the next.</summary>
    [Fact]
    public void Marker_in_a_later_group_of_segments_stays_for_a_record_in_an_earlier_one()
    {
        _log.Log.Config = _log.Log.Config with { SegmentBytes = 1 };
        _log.Data(7, "kept", "1");
        _log.Test.Roll();
        _log.Data(8, "other", "1");
        _log.Test.Roll();
        _log.End(7, isCommit: false);
        _log.Test.Roll();
        _log.End(8, isCommit: true);
        _log.Forget();
        Assert.Equal(4, _log.Log.Segments.Count);
        _log.Dirty("x");
        _log.Test.Compact();
        // The aborted record is gone, its marker is not.
        Assert.Equal([2, 3], _log.Markers());
        Assert.False(_log.HeaderAt(2).HasDeleteHorizon);
        CleanOften(static log => log.Dirty("x"));
        Assert.Equal([3], _log.Markers());
    }

    /// <summary>A pass with a small map ends inside a transaction.</summary>
    [Fact]
    public void Marker_stays_where_passes_end_inside_its_transaction()
    {
        for (var i = 0; i < 40; i++)
            _log.Data(7, $"k{i}", "1");
        _log.End(7, isCommit: false);
        for (var i = 0; i < 40; i++)
            _log.Data(7, $"k{i}", "2");
        _log.End(7, isCommit: true);
        _log.Test.Roll();
        Assert.True(_log.Test.Compact(maxMapBytes: 24 * 20).Passes > 1);
        Assert.Equal(Enumerable.Range(41, 40).Select(static i => (long)i), _log.Committed(0).Select(static e => e.Offset));
        var reopened = _log.Scanned();
        Assert.Equal(_log.Committed(0), reopened.Committed(0));
        Assert.Equal(0, reopened.Log.State.Transactions.OpenCount);
    }

    [Fact]
    public void Marker_at_or_above_the_limit_of_other_replicas_stays()
    {
        _log.Data(7, "a", "1");
        _log.End(7, isCommit: true);
        _log.Forget();
        _log.Test.Erasure.Limit(1);
        CleanOften(static log => log.Dirty("a"));
        Assert.Equal([1], _log.Markers());
        _log.Test.Erasure.Limit(2);
        CleanOften(static log => log.Dirty("a"));
        Assert.Empty(_log.Markers());
    }

    /// <summary>A marker has a key, and so may records: the same bytes mean nothing.</summary>
    [Fact]
    public void Marker_and_record_with_the_same_key_do_not_meet()
    {
        // Version 0, commit.
        const string key = "\0\0\0\u0001";
        _log.Data(7, key, "1");
        _log.End(7, isCommit: true);
        _log.Data(8, "b", "1");
        _log.End(8, isCommit: true);
        _log.Dirty("x");
        CleanOften(static log => log.Dirty("x"));
        Assert.Contains((0L, key), _log.Committed(0).Select(static e => (e.Offset, e.Key!)));
        Assert.Equal([1, 3], _log.Markers());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Last_entries_of_a_live_producer_stay(bool isCommit)
    {
        for (var i = 0; i < 5; i++)
        {
            _log.Data(7, "a", $"{i}");
            _log.End(7, i < 4 || isCommit, coordinatorEpoch: 3);
        }
        var number = _log.MarkerAt(9)!.Value.Number;
        CleanOften(static log => log.Dirty("a"));
        // An empty batch, and its marker.
        Assert.Equal([(8L, 0), (9L, 1)], _log.Headers().Where(static header => header.ProducerId == 7)
            .Select(static header => (header.BaseOffset, header.RecordCount)));
        var scanned = _log.Scanned();
        Assert.True(scanned.Log.State.Producers.TryGet(7, out var state));
        Assert.Equal((4, 8L, 3, number, -1L), (state[0].LastSequence, state[0].LastOffset, state.CoordinatorEpoch,
            state.LastTransactionNumber, state.CurrentTransactionFirstOffset));
        Assert.Equal((0, scanned.Log.LogEndOffset), (scanned.Log.State.Transactions.OpenCount,
            scanned.Log.State.Transactions.StableOffset(scanned.Log.LogEndOffset)));
        _log.Forget();
        CleanOften(static log => log.Dirty("a"));
        Assert.DoesNotContain(_log.Headers(), static header => header.ProducerId == 7);
    }

    [Fact]
    public void Aborted_record_goes_also_from_the_last_batch_of_a_live_producer()
    {
        _log.Data(7, "only", "1");
        _log.End(7, isCommit: false);
        _log.Dirty("x");
        _log.Test.Compact();
        Assert.Equal((0, 1), (_log.HeaderAt(0).RecordCount, _log.HeaderAt(1).RecordCount));
        Assert.DoesNotContain("only", _log.Test.ReadAll().Select(static e => e.Key));
    }

    /// <summary>The marker has raised the epoch, so no batch of the producer tells it.</summary>
    [Fact]
    public void Last_marker_of_a_live_producer_stays_alone_where_it_raised_the_epoch()
    {
        _log.Data(7, "a", "1");
        _log.End(7, isCommit: true, raisesEpoch: true);
        var number = _log.MarkerAt(1)!.Value.Number;
        CleanOften(static log => log.Dirty("a"));
        Assert.Equal([1L], _log.Headers().Where(static header => header.ProducerId == 7).Select(static header => header.BaseOffset));
        Assert.True(_log.Scanned().Log.State.Producers.TryGet(7, out var state));
        Assert.Equal((1, 0, number), (state.Epoch, state.Count, state.LastTransactionNumber));
    }

    [Fact]
    public void Nothing_at_or_above_the_last_stable_offset_is_cleaned()
    {
        _log.Data(8, "b", "1");
        _log.Data(7, "a", "1");
        _log.Data(7, "a", "2");
        _log.End(7, isCommit: true);
        _log.Dirty("a");
        var result = _log.Test.Compact();
        Assert.Equal((0, 0), (Stable, result.Passes));
        Assert.Equal(5, _log.Headers().Count);

        // Its marker is not below the high watermark.
        _log.End(8, isCommit: false);
        _log.Dirty("a");
        Assert.Equal(0, _log.Test.Compact(highWatermark: 5).Passes);
        Assert.Equal([0L, 1, 2, 4, 6], _log.Test.ReadAll().Where(static e => e.Key?.Length == 1).Select(static e => e.Offset));
        Assert.Equal(1, _log.Test.Compact().Passes);
        Assert.Equal([6L], _log.Committed(0).Select(static e => e.Offset));
    }

    [Fact]
    public void Empty_control_batch_of_another_brokers_cleaning_is_recovered_and_goes_with_its_producer()
    {
        _log.Data(7, "a", "1");
        using var empty = new PooledBuffer();
        RecordBatchRewriter.RetainNone(new TransactionMarker(true, 2).ToBatch(9, 4, 1), empty);
        _log.Test.Append(empty.WrittenSpan.ToArray());
        _log.End(7, isCommit: true);
        var scanned = _log.Scanned();
        Assert.True(scanned.Log.State.Producers.TryGet(9, out var state));
        Assert.Equal((4, 0, 0L), (state.Epoch, state.Count, state.LastTransactionNumber));
        Assert.Equal((0, 3L), (scanned.Log.State.Transactions.OpenCount, scanned.Log.State.Transactions.StableOffset(3)));
        CleanOften(static log => log.Dirty("a"));
        Assert.Contains(_log.Headers(), static header => header.ProducerId == 9);
        _log.Forget();
        CleanOften(static log => log.Dirty("a"));
        Assert.DoesNotContain(_log.Headers(), static header => header.ProducerId == 9);
    }

    /// <summary>A client that gets the entry without the marker would leave out what the producer committed later.</summary>
    [Fact]
    public void Entry_of_an_aborted_transaction_goes_before_its_marker()
    {
        _log.Data(7, "a", "1");
        _log.End(7, isCommit: false);
        _log.Data(7, "b", "1");
        _log.End(7, isCommit: true);
        _log.Dirty("x");
        _log.Test.Compact();
        Assert.Equal([(0L, 1L)], Aborted());
        _log.Dirty("x");
        _log.Test.Compact();
        Assert.Empty(Aborted());
        Assert.Equal([1, 3], _log.Markers());
        CleanOften(static log => log.Dirty("x"));
        Assert.Equal([3], _log.Markers());
        Assert.Contains((2L, "b"), _log.Committed(0).Select(static e => (e.Offset, e.Key!)));

        IEnumerable<(long, long)> Aborted() => _log.Log.FindAborted(_log.Log.Segments, 0, Stable)!.Select(static a => (a.First, a.Last));
    }

    /// <summary>What a reader found in segments that are replaced is not used for batches that it may have read from others.</summary>
    [Fact]
    public void Entries_of_replaced_segments_are_not_given()
    {
        _log.Log.Config = _log.Log.Config with { FileDeleteDelayMs = 60_000 };
        _log.Data(7, "a", "1");
        _log.End(7, isCommit: false);
        _log.Dirty("x");
        var before = _log.Log.Segments;
        Assert.Single(_log.Log.FindAborted(before, 0, 2)!);
        _log.Dirty("x");
        Assert.Single(_log.Log.FindAborted(before, 0, 2)!);
        _log.Test.Compact();
        Assert.Null(_log.Log.FindAborted(before, 0, 2));
        Assert.Single(_log.Log.FindAborted(_log.Log.Segments, 0, 2)!);
    }

    private void CleanOften(Action<TransactionalLog> dirty)
    {
        for (var i = 0; i < 4; i++)
        {
            dirty(_log);
            _log.Test.Compact();
            _log.Test.Time.Advance(1001);
        }
    }
}
