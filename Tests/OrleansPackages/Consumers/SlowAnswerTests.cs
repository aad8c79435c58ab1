using System.Text;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Tests.OrleansPackages.Streams;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>Deliveries that have no answer since their grain is slow: they are asked about, and not delivered twice.</summary>
public sealed class SlowAnswerTests : IAsyncLifetime
{
    private const int Losses = 5;

    private static readonly TimeSpan s_interval = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan s_retry = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan s_refresh = TimeSpan.FromMilliseconds(50);

    private readonly TempDirectory _data = new();
    private readonly LostMessages _lost = new();
    private readonly TaskCompletionSource _gate = new();
    private TestSilo? _silo;

    public async Task InitializeAsync() => _silo = await TestSilo.StartAsync(_data.Path, silo =>
    {
        _lost.AddTo(silo);
        silo.AddOrleansMqConsumers(static options => options with
        {
            MissingTopic = MissingTopic.Create,
            Serves = static type => type == typeof(LossyGrain) || type == typeof(PatientGrain),
            RetryDelay = s_retry,
            MaxRetryDelay = s_retry,
            RefreshInterval = s_refresh,
            AskInterval = s_interval,
        });
        silo.AddOrleansMqStreams("test", static options => options with
        {
            RetryDelay = s_retry,
            MaxRetryDelay = s_retry,
            RefreshInterval = s_refresh,
            AskInterval = s_interval,
        });
    });

    public async Task DisposeAsync()
    {
        // A test that failed halfway: the grains end.
        _gate.TrySetResult();
        LossyGrain.Free.TrySetResult();
        await _silo!.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public async Task Record_that_waits_behind_a_call_of_its_grain_is_delivered_once()
    {
        var (busy, other) = (_silo!.Client.GetGrain<ILossyGrain>("busy"), _silo.Client.GetGrain<ILossyGrain>("slow-other"));
        // Its record comes after as many rounds: enough for the other one to come again.
        _lost.Lose(other.GetGrainId(), LostPart.Request, Losses);
        (LossyGrain.Free, LossyGrain.Began) = (new TaskCompletionSource(), new TaskCompletionSource());
        var work = busy.WorkAsync();
        // The record would come first otherwise.
        await LossyGrain.Began.Task.WaitAsync(Wait.Deadline);
        await SendAsync(LossyGrain.Records, "busy", "slow-other");
        await Wait.UntilAsync(() => Task.FromResult(_lost.Calls(busy.GetGrainId(), LostMessages.Question) > 0), "the grain is asked",
            () => Task.FromResult($"{_lost.Calls(busy.GetGrainId(), LostMessages.Delivery)} deliveries, "
                + $"{ConsumerScript.Received(LossyGrain.Records, "busy").Length} records, and its work is {work.Status}"));
        await Wait.UntilAsync(() => ConsumerScript.Received(LossyGrain.Records, "slow-other").Length > 0, "the other record comes");
        Assert.Equal(Losses + 1, _lost.Calls(other.GetGrainId(), LostMessages.Delivery));
        Assert.Empty(ConsumerScript.Received(LossyGrain.Records, "busy"));
        LossyGrain.Free.SetResult();
        await work;
        await Wait.UntilAsync(() => ConsumerScript.Received(LossyGrain.Records, "busy").Length > 0, "the record comes");
        Assert.Equal(1, _lost.Calls(busy.GetGrainId(), LostMessages.Delivery));
    }

    [Fact]
    public async Task Event_that_a_stateless_worker_works_at_is_delivered_once_though_another_activation_does_not_have_it()
    {
        var worker = GrainId.Create("positionedworker", "slow");
        StreamScript.On(PositionedWorker.Topic, (_, _) => _gate.Task);
        await _silo!.Inside.CreateTopicAsync(new NewTopic(PositionedWorker.Topic, 1));
        await SendAsync(PositionedWorker.Topic, "slow");
        await Wait.UntilAsync(() => _lost.Calls(worker, LostMessages.Question) > 2, "the worker is asked");
        Assert.Equal(1, _lost.Calls(worker, LostMessages.Delivery));
        _gate.SetResult();
        await Wait.UntilAsync(() => StreamScript.Received(PositionedWorker.Topic, "slow").Length > 0, "the event comes");
        Assert.Equal(1, _lost.Calls(worker, LostMessages.Delivery));
    }

    [Fact]
    public async Task Activation_says_which_deliveries_it_works_at_and_which_wait_where_calls_interleave()
    {
        var began = new TaskCompletionSource();
        ConsumerScript.On(PatientGrain.Topic, call =>
        {
            began.TrySetResult();
            return _gate.Task;
        });
        var receiver = _silo!.Services.GetRequiredService<IGrainFactory>().GetGrain(GrainId.Create("patient", "k"))
            .AsReference<IRecordReceiver>();
        var (first, second) = (Delivery(5), Delivery(6));
        Assert.False(await receiver.IsDeliveringAsync(first.DeliveryId));
        var deliveries = new[] { receiver.DeliverAsync(first), receiver.DeliverAsync(second) };
        await began.Task.WaitAsync(Wait.Deadline);
        await Wait.UntilAsync(async () => await receiver.IsDeliveringAsync(second.DeliveryId), "the second one waits");
        Assert.True(await receiver.IsDeliveringAsync(first.DeliveryId));
        Assert.False(await receiver.IsDeliveringAsync(Guid.NewGuid()));
        _gate.SetResult();
        await Task.WhenAll(deliveries);
        Assert.False(await receiver.IsDeliveringAsync(first.DeliveryId));
        Assert.False(await receiver.IsDeliveringAsync(second.DeliveryId));
    }

    private static RecordDelivery Delivery(long offset) => new(PatientGrain.Topic, Guid.NewGuid(), Guid.NewGuid(), 0, "k"u8.ToArray(),
        [new ConsumedItem(offset, 0, Encoding.UTF8.GetBytes("""{"number":1}"""), [], 1, false)], Guid.NewGuid());

    private async Task SendAsync(string topic, params string[] keys)
    {
        await using var producer = new OrleansMqClient(_silo!.Inside).CreateProducer<string, string>();
        foreach (var key in keys)
            await producer.SendAsync(new(topic, key, """{"number":1}"""));
    }
}

public interface IPatientGrain : IGrainWithStringKey;

/// <summary>Works until its script ends, and answers questions meanwhile.</summary>
[Consumes(Topic), Orleans.Concurrency.Reentrant]
public sealed class PatientGrain : Grain, IPatientGrain, IGrainConsumer<Ordered>
{
    public const string Topic = "consume-patient";

    public Task ConsumeAsync(Ordered value, ConsumedRecord record, CancellationToken cancellationToken) =>
        ConsumerScript.ReceiveAsync(this, value.Number, record, cancellationToken);
}
