using OrleansMq.Client;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>Consumers over HTTP whose process is gone, without having left.</summary>
public sealed class GoneConsumerTests(RunningBroker broker) : IClassFixture<RunningBroker>
{
    private static readonly ConsumerOptions Options = new() { GroupId = "gone", AutoOffsetReset = AutoOffsetReset.Earliest };

    [Fact]
    public async Task Partitions_of_a_consumer_whose_poll_breaks_off_are_assigned_to_others_within_seconds()
    {
        var gone = new HttpBroker(broker.Http.BaseAddress!);
        using var other = new HttpBroker(broker.Http.BaseAddress!);
        var client = new OrleansMqClient(other);
        const string Topic = "gone";
        await client.Admin.CreateTopicAsync(Topic, 2);
        var dying = new OrleansMqClient(gone).CreateConsumer<string, string>(Options); // Not closed: its process dies.
        dying.Subscribe(Topic);
        await UntilAsync(() => dying.Assignment.Count == 2);
        await using var living = client.CreateConsumer<string, string>(Options);
        living.Subscribe(Topic);
        await UntilAsync(() => living.Assignment.Count == 1);

        var began = TimeProvider.System.GetTimestamp();
        gone.Dispose();
        await UntilAsync(() => living.Assignment.Count == 2);
        Assert.InRange(TimeProvider.System.GetElapsedTime(began), TimeSpan.Zero, TimeSpan.FromSeconds(25)); // The session is 45 s.
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        using var deadline = new CancellationTokenSource(RunningBroker.Patience);
        while (!condition())
            await Task.Delay(20, deadline.Token);
    }
}
