using System.Collections.Concurrent;
using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>A partition that stops, and comes back after it was revoked.</summary>
public sealed class StoppedPartitionTests : ConsumerFixture
{
    private readonly ConcurrentQueue<Exception> _reasons = new();

    /// <summary>Starts a processor whose partition 0 has stopped before its only record, then has been revoked.</summary>
    private async Task<MessageProcessor<string, string>> StartStoppedAndRevokedAsync()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "poison");
        var processor = Client.CreateProcessor<string, string>(Options(), new()
        {
            Topics = [Topic],
            OnFailure = FailureAction.StopPartition,
            Retry = new() { MaxAttempts = 1 },
            PartitionStopped = (_, reason) => _reasons.Enqueue(reason),
        }, (record, _) => record.Value == "poison" ? throw new InvalidDataException("undrinkable") : default);
        processor.Start();
        await Wait.UntilAsync(() => !_reasons.IsEmpty, "the stop");
        Groups.Assign(await MemberAsync());
        await Wait.UntilAsync(() => processor.Consumer.Assignment.Count == 0, "the revocation");
        Groups.SetCommitted(P(0), 1); // Another member handles the record.
        return processor;
    }

    private async Task AssignAgainAsync(MessageProcessor<string, string> processor)
    {
        Groups.Assign(await MemberAsync(), All(0));
        await Wait.UntilAsync(() => processor.Consumer.Assignment.Count == 1, "the assignment");
    }

    [Fact]
    public async Task Partition_that_comes_back_has_not_stopped()
    {
        await using var processor = await StartStoppedAndRevokedAsync();
        Assert.Empty(processor.Stopped);
        await AssignAgainAsync(processor);
        Assert.Empty(processor.Stopped);
    }

    [Fact]
    public async Task Partition_that_stops_again_before_its_first_record_is_reported_again()
    {
        await using var processor = await StartStoppedAndRevokedAsync();
        await SendAsync(0, "a", "b");
        await Broker.DeleteRecordsAsync(P(0), 2);
        await AssignAgainAsync(processor);
        await Wait.UntilAsync(() => processor.Stopped.GetValueOrDefault(P(0)) is OffsetOutOfRangeException, "the second stop");
        await Wait.UntilAsync(() => _reasons.Count == 2, "its report");
        Assert.IsType<OffsetOutOfRangeException>(_reasons.Last());
        processor.Consumer.Seek(P(0), ReadFrom.Earliest);
        processor.Resume(P(0));
        await Wait.UntilAsync(() => processor.Statistics.Handled == 1, "the record that is left");
        Assert.Empty(processor.Stopped);
    }
}
