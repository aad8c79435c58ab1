using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Client;
using OrleansMq.Consumers;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

public interface IEnqueuingGrain : IGrainWithStringKey
{
    Task EnqueueAsync(int number);
}

/// <summary>Enqueues work.</summary>
[Orleans.Concurrency.StatelessWorker]
public sealed class EnqueuingGrain(IProducer<string, Ordered> jobs) : Grain, IEnqueuingGrain
{
    public Task EnqueueAsync(int number) =>
        jobs.SendAsync(new("consume-work", $"{number % 3}", new Ordered(number))).AsTask();
}

public interface IWorkGrain : IGrainWithStringKey;

/// <summary>Consumes work.</summary>
[Consumes("consume-work")]
public sealed class WorkGrain : Grain, IWorkGrain, IGrainConsumer<Ordered>
{
    public Task ConsumeAsync(Ordered value, ConsumedRecord record) => ConsumerScript.ReceiveAsync(this, value.Number, record);
}

/// <summary>Work that grains enqueue: for grains by its key, and for workers that share a queue.</summary>
public sealed class WorkQueueTests
{
    private const int Jobs = 60;

    [Fact]
    public async Task Job_of_a_grain_comes_to_the_grain_of_its_key_and_to_one_of_the_workers_again_when_that_fails()
    {
        using var data = new TempDirectory();
        await using var silo = await TestSilo.StartAsync(data.Path, static silo => silo.AddOrleansMqConsumers(static options => options with
        {
            MissingTopic = MissingTopic.Create,
            Serves = static type => type == typeof(WorkGrain),
        }).AddOrleansMqClient().AddProducer<string, Ordered>(values: Serdes.Json<Ordered>()));
        var client = silo.Services.GetRequiredService<OrleansMqClient>();
        var done = new ConcurrentQueue<(int Worker, int Number)>();
        var failed = new ConcurrentDictionary<int, bool>();
        using var stopping = new CancellationTokenSource();
        await Task.WhenAll(Enumerable.Range(0, Jobs).Select(number =>
            silo.Client.GetGrain<IEnqueuingGrain>($"{number % 2}").EnqueueAsync(number)));
        var workers = Enumerable.Range(0, 2).Select(WorkAsync).ToArray();
        await Wait.UntilAsync(() => done.Count >= Jobs, "all jobs are done");
        for (var key = 0; key < 3; key++)
        {
            await Wait.UntilAsync(() => ConsumerScript.Received("consume-work", $"{key}").Length >= Jobs / 3, $"jobs of {key}");
            Assert.Equal(Enumerable.Range(0, Jobs).Where(number => number % 3 == key),
                ConsumerScript.Received("consume-work", $"{key}").Order());
        }
        await stopping.CancelAsync();
        await Task.WhenAll(workers).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing
            | ConfigureAwaitOptions.ContinueOnCapturedContext);
        Assert.Equal(Enumerable.Range(0, Jobs), done.Select(static one => one.Number).Order());
        Assert.Equal(Jobs / 10, failed.Count);

        async Task WorkAsync(int worker)
        {
            await using var consumer = client.CreateQueueConsumer<string?, Ordered>(new QueueConsumerOptions
            {
                Topic = "consume-work",
                Queue = "workers",
                Create = new QueueOptions { MaxFailures = 5, RetryDelay = TimeSpan.FromMilliseconds(10) },
            }, values: Serdes.Json<Ordered>());
            await consumer.RunAsync((message, _) =>
            {
                if (message.Value.Number % 10 == 0 && failed.TryAdd(message.Value.Number, true))
                    throw new InvalidOperationException("once");
                done.Enqueue((worker, message.Value.Number));
                return ValueTask.CompletedTask;
            }, concurrency: 4, stopping.Token);
        }
    }
}
