using System.Text;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Streams;
using OrleansMq.Tests.OrleansPackages.Streams;
using OrleansMq.Tests.OrleansPackages.Timers;
using OrleansMq.Timers;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>The extensions by which silos deliver to grains: calls of Orleans clients, and offsets that no record has.</summary>
public sealed class SiloCallersTests : IAsyncLifetime
{
    private readonly TempDirectory _data = new();
    private TestSilo? _silo;

    public async Task InitializeAsync() => _silo = await TestSilo.StartAsync(_data.Path, static silo =>
    {
        SharedStorage.AddTo(silo);
        silo.AddOrleansMqConsumers(static options => options with
        {
            MissingTopic = MissingTopic.Create,
            Serves = static type => type == typeof(ForgedGrain),
        });
        silo.AddOrleansMqTimers(static options => options with { RefreshInterval = TimeSpan.FromMilliseconds(50) });
        silo.AddOrleansMqStreams("test", static options => options with { RefreshInterval = TimeSpan.FromMilliseconds(50) });
    });

    public async Task DisposeAsync()
    {
        await _silo!.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public async Task Record_of_an_orleans_client_is_refused_and_those_of_the_topic_go_on()
    {
        var receiver = _silo!.Client.GetGrain(GrainId.Create("forged", "k")).AsReference<IRecordReceiver>();
        await RefusedAsync(nameof(IRecordReceiver), () => receiver.DeliverAsync(Record("forged-records", "k", 5)));
        await RefusedAsync(nameof(IRecordReceiver), () => receiver.FindCurrentAsync(Guid.Empty));
        await using var producer = new OrleansMqClient(_silo.Inside).CreateProducer<string, string>();
        await producer.SendAsync(new("forged-records", "k", """{"number":1}"""));
        await Wait.UntilAsync(() => ConsumerScript.Received("forged-records", "k").Length > 0, "the record of the topic");
        Assert.Equal([1], ConsumerScript.Received("forged-records", "k"));
    }

    [Fact]
    public async Task Timer_of_an_orleans_client_is_refused_and_those_that_are_scheduled_go_on()
    {
        var grain = _silo!.Client.GetGrain<ITimedGrain>("forged");
        var receiver = _silo.Client.GetGrain(grain.GetGrainId()).AsReference<ITimerReceiver>();
        await RefusedAsync(nameof(ITimerReceiver), () => receiver.DeliverAsync(Record("grain-timers", "k", 5)));
        await grain.ScheduleAsync(DateTimeOffset.UtcNow, 1, "first");
        await Wait.UntilAsync(() => TimerScript.Received("forged").Length > 0, "the timer");
        Assert.Equal([1], TimerScript.Received("forged"));
    }

    [Fact]
    public async Task Event_of_an_orleans_client_is_refused_and_those_of_the_stream_go_on()
    {
        var stream = StreamId.Create("implicit-forged", "k");
        var consumer = _silo!.Client.GetGrain(GrainId.Create("implicit", "k")).AsReference<IStreamConsumer>();
        await RefusedAsync(nameof(IStreamConsumer), () => consumer.DeliverAsync(Event(stream, 5)));
        await RefusedAsync(nameof(IStreamConsumer), () => consumer.ReplayAsync(Guid.Empty, Guid.Empty));
        await _silo.Services.GetProcessStreamProvider("test").GetStream<Happened>(stream).OnNextAsync(new Happened(1));
        await Wait.UntilAsync(() => StreamScript.Count("implicit-forged") > 0, "the event");
        Assert.Equal([1], StreamScript.Received("implicit-forged", "k"));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(long.MaxValue)]
    public async Task Offset_that_no_record_has_is_refused(long offset)
    {
        Says(await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => Grain("forged").AsReference<IRecordReceiver>()
            .DeliverAsync(Record("forged-records", "offsets", 5, offset))));
        Says(await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => Grain("timed").AsReference<ITimerReceiver>()
            .DeliverAsync(Record("grain-timers", "offsets", offset))));
        Says(await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => Grain("implicit").AsReference<IStreamConsumer>()
            .DeliverAsync(Event(StreamId.Create("implicit-forged", "offsets"), offset))));
        Assert.Empty(ConsumerScript.Received("forged-records", "offsets"));

        IAddressable Grain(string type) => _silo!.Services.GetRequiredService<IGrainFactory>().GetGrain(GrainId.Create(type, "offsets"));

        void Says(Exception refused) => Assert.Contains($"offset {offset}", refused.Message, StringComparison.Ordinal);
    }

    private static async Task RefusedAsync(string extension, Func<Task> call)
    {
        var refused = await Assert.ThrowsAsync<UnauthorizedAccessException>(call);
        Assert.Contains(extension, refused.Message, StringComparison.Ordinal);
        Assert.Contains("only silos", refused.Message, StringComparison.Ordinal);
    }

    private static RecordDelivery Record(string topic, string key, params long[] offsets) => new(topic, Guid.Empty, Guid.Empty, 0,
        Encoding.UTF8.GetBytes(key), [.. offsets.Select(static offset => new ConsumedItem(offset, 0,
            Encoding.UTF8.GetBytes("""{"number":9}"""), [], 1, false))]);

    private static StreamDelivery Event(StreamId stream, long offset) => new("test", stream, Guid.NewGuid(), Guid.Empty, 0,
        [new StreamItem(offset, Encoding.UTF8.GetBytes("""{"number":9}"""))]);
}
