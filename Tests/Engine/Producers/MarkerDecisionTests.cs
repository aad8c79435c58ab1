using OrleansMq.Producers;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Producers;

/// <summary>Which markers of transactions a leader appends.</summary>
public sealed class MarkerDecisionTests
{
    private const long Id = 7;
    private const long LogEnd = 100;

    // The producer's epoch is 5. A marker of coordinator 3 has ended its transaction number 9.
    [Theory]
    [InlineData(5, 3, 10, ProducerOutcome.Accept, -1)]
    [InlineData(6, 4, 10, ProducerOutcome.Accept, -1)]
    [InlineData(5, 3, 0, ProducerOutcome.Accept, -1)]
    [InlineData(4, 3, 10, ProducerOutcome.FencedEpoch, 5)]
    [InlineData(4, 2, 0, ProducerOutcome.FencedEpoch, 5)]
    [InlineData(5, 2, 10, ProducerOutcome.FencedCoordinator, 3)]
    [InlineData(6, 2, 0, ProducerOutcome.FencedCoordinator, 3)]
    [InlineData(5, 3, 9, ProducerOutcome.Duplicate, -1)]
    [InlineData(5, 3, 1, ProducerOutcome.Duplicate, -1)]
    [InlineData(4, 2, 9, ProducerOutcome.Duplicate, -1)]
    public void Marker_of_an_unraised_epoch(short epoch, int coordinatorEpoch, long number, object outcome, int known)
    {
        foreach (var isOpen in (bool[])[false, true])
            Check(Decide(isOpen, epoch, coordinatorEpoch, number, raisesEpoch: false), (ProducerOutcome)outcome, known);
    }

    [Theory]
    [InlineData(true, 6, ProducerOutcome.Accept, -1)]
    [InlineData(true, 5, ProducerOutcome.FencedEpoch, 5)]
    [InlineData(true, 4, ProducerOutcome.FencedEpoch, 5)]
    [InlineData(false, 6, ProducerOutcome.Accept, -1)]
    // The coordinator repeats it: the first one's answer was lost.
    [InlineData(false, 5, ProducerOutcome.Accept, -1)]
    [InlineData(false, 4, ProducerOutcome.FencedEpoch, 5)]
    public void Marker_that_raises_the_epoch(bool isOpen, short epoch, object outcome, int known) =>
        Check(Decide(isOpen, epoch, 3, 10, raisesEpoch: true), (ProducerOutcome)outcome, known);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Marker_of_an_unknown_producer_is_appended(bool raisesEpoch) => Assert.Equal(ProducerDecision.Accepted,
        MarkerDecision.Decide(new ProducerState(), 0, new TransactionMarker(true, 0, 1), raisesEpoch, LogEnd));

    private static ProducerDecision Decide(bool isOpen, short epoch, int coordinatorEpoch, long number, bool raisesEpoch)
    {
        var producers = new ProducerStateManager();
        producers.Apply(Header(0, isControl: true), 0, new TransactionMarker(true, 3, 9));
        if (isOpen)
            producers.Apply(Header(1, isControl: false), 0);
        Assert.True(producers.TryGet(Id, out var state));
        Assert.Equal(isOpen ? 1 : -1, state.CurrentTransactionFirstOffset);
        return MarkerDecision.Decide(state, epoch, new TransactionMarker(false, coordinatorEpoch, number), raisesEpoch, LogEnd);
    }

    private static void Check(in ProducerDecision decision, ProducerOutcome outcome, int known)
    {
        Assert.Equal((outcome, known), (decision.Outcome, decision.KnownEpoch));
        // Answered when all before it is in force: its own offset is forgotten.
        Assert.Equal(outcome == ProducerOutcome.Duplicate ? LogEnd - 1 : -1, decision.LastOffset);
    }

    private static RecordBatchHeader Header(long offset, bool isControl)
    {
        var batch = isControl ? new TransactionMarker(true, 3, 9).ToBatch(Id, 5, 1) : Data();
        RecordBatchHeader.StampBaseOffset(batch, offset);
        return RecordBatchHeader.Read(batch);
    }

    private static byte[] Data()
    {
        using var builder = new RecordBatchBuilder();
        builder.Add(1, [], false, [1], true);
        builder.SetProducer(Id, 5, 0, transactional: true);
        return builder.Build().ToArray();
    }
}
