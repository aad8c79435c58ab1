using OrleansMq.Diagnostics;
using OrleansMq.Log;
using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Log;

public sealed class SegmentListTests
{
    private readonly FileHandleCache _cache = new(new MemoryFileSystem(), 16);

    [Theory]
    [InlineData(0, 0)]
    [InlineData(9, 0)]
    [InlineData(10, 0)]
    [InlineData(24, 0)]
    [InlineData(25, 1)]
    [InlineData(39, 1)]
    [InlineData(40, 2)]
    [InlineData(long.MaxValue, 2)]
    public void Offset_is_found_in_the_last_segment_that_does_not_begin_above_it(long offset, int index) =>
        Assert.Equal(index, SegmentList.Find(ListOf(10, 25, 40).All, offset));

    [Fact]
    public void Change_leaves_an_array_that_a_reader_has_taken_untouched()
    {
        var list = ListOf(10, 25, 40);
        var taken = list.All;
        list.Add(SegmentAt(60));
        Assert.Equal([10L], list.RemoveFirst(1).Select(s => s.BaseOffset));
        list.Replace(0, 2, SegmentAt(25));
        list.KeepFirst(1);
        Assert.Equal([25L], Bases(list));
        Assert.Equal([10L, 25, 40], taken.Select(s => s.BaseOffset));
    }

    [Fact]
    public void Cut_is_noticed_by_what_began_before_it_or_during_it()
    {
        var list = ListOf(10);
        var before = list.Cuts;
        Assert.False(list.WasCutSince(before));
        list.BeginCut();
        var during = list.Cuts;
        Assert.True(list.WasCutSince(before) && list.WasCutSince(during));
        // Half-way, then again.
        list.BeginCut();
        Assert.True(list.WasCutSince(list.Cuts));
        list.EndCut();
        Assert.True(list.WasCutSince(before) && list.WasCutSince(during));
        Assert.False(list.WasCutSince(list.Cuts));
        // Nothing was begun.
        var after = list.Cuts;
        list.EndCut();
        Assert.False(list.WasCutSince(after));
    }

    [Fact]
    public void Replaced_neighbours_leave_those_around_them()
    {
        var list = ListOf(0, 10, 20, 30, 40);
        var replacement = SegmentAt(10);
        list.Replace(list.IndexOf([list.All[1], list.All[2]]), 2, replacement);
        Assert.Equal([0L, 10, 30, 40], Bases(list));
        Assert.Same(replacement, list.All[1]);
    }

    [Fact]
    public void Neighbours_are_found_only_if_all_are_in_the_list_and_none_is_active()
    {
        var list = ListOf(0, 10, 20, 30);
        var all = list.All;
        Assert.Equal(1, list.IndexOf([all[1], all[2]]));
        Assert.Equal(0, list.IndexOf([all[0]]));
        Assert.Equal(-1, list.IndexOf([all[2], all[3]]));
        Assert.Equal(-1, list.IndexOf([all[0], all[2]]));
        // Another segment of the same base offset, as after a compaction.
        Assert.Equal(-1, list.IndexOf([SegmentAt(10)]));
        Assert.Equal(-1, list.IndexOf([all[1], SegmentAt(20)]));
    }

    [Fact]
    public void Active_segment_is_never_removed()
    {
        var list = ListOf(0, 10);
        Assert.Throws<InvariantViolationException>(() => list.RemoveFirst(2));
        Assert.Throws<InvariantViolationException>(() => list.KeepFirst(0));
        Assert.Equal([0L, 10], Bases(list));
    }

    [Fact]
    public void End_is_that_of_the_active_segment()
    {
        var list = ListOf(0, 10);
        list.All[0].Found(700, 10, flushed: true);
        list.Active.Found(300, 17, flushed: false);
        Assert.Equal(new LogPosition(17, 10, 300), list.End);
        Assert.Equal(1000, list.SizeInBytes);
    }

    private static long[] Bases(SegmentList list) => Array.ConvertAll(list.All, segment => segment.BaseOffset);

    private SegmentList ListOf(params long[] bases)
    {
        var list = new SegmentList();
        list.Set(Array.ConvertAll(bases, SegmentAt));
        return list;
    }

    private Segment SegmentAt(long baseOffset) => new(_cache, "/p", baseOffset);
}
