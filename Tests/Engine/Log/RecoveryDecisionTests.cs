using OrleansMq.Log;

namespace OrleansMq.Tests.Engine.Log;

public sealed class RecoveryDecisionTests
{
    private static readonly LogPosition Flushed = new(50, 30, 400);

    [Theory]
    [InlineData(10, 9999, DamageOutcome.Offline)]
    [InlineData(30, 399, DamageOutcome.Offline)]
    [InlineData(30, 400, DamageOutcome.Cut)]
    [InlineData(31, 0, DamageOutcome.Cut)]
    internal void Bytes_that_were_flushed_are_never_cut(long segmentBase, long position, DamageOutcome expected) =>
        Assert.Equal(expected, RecoveryDecision.ForBadBatch(segmentBase, position, Flushed));

    [Fact]
    public void Log_without_a_known_flushed_point_is_truncated() =>
        Assert.Equal(DamageOutcome.Cut, RecoveryDecision.ForBadBatch(0, 0, LogPosition.None));

    [Theory]
    [InlineData(400, false)]
    [InlineData(500, false)]
    [InlineData(399, true)]
    public void File_shorter_than_the_flushed_point_is_a_loss(long length, bool lost) =>
        Assert.Equal(lost, RecoveryDecision.FindLoss([(0, 1000), (30, length), (60, 5)], Flushed) is not null);

    [Fact]
    public void Missing_flushed_segment_is_a_loss()
    {
        Assert.Equal((30L, 0L), RecoveryDecision.FindLoss([(0, 1000), (60, 5)], Flushed) is { } loss ? (loss.SegmentBase, loss.Position)
            : default);
        Assert.Null(RecoveryDecision.FindLoss([], LogPosition.None));
    }
}
