using System.Collections.Concurrent;
using Orleans.Concurrency;
using Orleans.Streams;
using Orleans.Streams.Core;
using OrleansMq.Streams;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>An event.</summary>
[GenerateSerializer]
public sealed record Happened([property: Id(0)] int Number);

/// <summary>What grains received, and what they do then. Every test has topics of its own.</summary>
internal static class StreamScript
{
    private static readonly ConcurrentDictionary<(string Topic, string Key, string Grain), ConcurrentQueue<int>> s_received = [];
    private static readonly ConcurrentDictionary<string, Func<Happened, Grain, Task>> s_scripts = [];

    /// <summary>What observers were told of events that were given up, by topic.</summary>
    public static ConcurrentQueue<(string Topic, string Message)> GivenUp { get; } = [];

    /// <summary>Sets what grains do with the events of a topic before they count as received.</summary>
    public static void On(string topic, Func<Happened, Grain, Task> script) => s_scripts[topic] = script;

    /// <summary>Returns what was received, in order.</summary>
    public static int[] Received(string topic, string key) =>
        [.. s_received.Where(entry => entry.Key.Topic == topic && entry.Key.Key == key).SelectMany(entry => entry.Value)];

    /// <summary>Returns what one grain received, in order.</summary>
    public static int[] Received(string topic, string key, string grain) =>
        s_received.TryGetValue((topic, key, grain), out var numbers) ? [.. numbers] : [];

    /// <summary>Returns how often grains received events of a topic.</summary>
    public static int Count(string topic) => s_received.Where(entry => entry.Key.Topic == topic).Sum(static entry => entry.Value.Count);

    public static async Task ReceiveAsync(StreamId stream, Grain grain, Happened item)
    {
        if (s_scripts.TryGetValue(stream.GetNamespace()!, out var script))
            await script(item, grain);
        s_received.GetOrAdd((stream.GetNamespace()!, stream.GetKeyAsString(), grain.GetGrainId().ToString()), _ => new())
            .Enqueue(item.Number);
    }
}

/// <summary>An observer of a grain.</summary>
internal sealed class TestObserver(StreamId stream, Grain grain) : IAsyncObserver<Happened>
{
    public Task OnNextAsync(Happened item, StreamSequenceToken? token = null) => StreamScript.ReceiveAsync(stream, grain, item);

    public Task OnErrorAsync(Exception ex)
    {
        StreamScript.GivenUp.Enqueue((stream.GetNamespace()!, ex.Message));
        // It changes nothing of what becomes of the event.
        throw new InvalidOperationException("told");
    }
}

/// <summary>An observer of batches.</summary>
internal sealed class TestBatchObserver(StreamId stream, Grain grain) : IAsyncBatchObserver<Happened>
{
    public async Task OnNextAsync(IList<SequentialItem<Happened>> items)
    {
        foreach (var item in items)
            await StreamScript.ReceiveAsync(stream, grain, item.Item);
    }

    public Task OnErrorAsync(Exception ex) => Task.CompletedTask;
}

public interface IImplicitGrain : IGrainWithStringKey;

/// <summary>Subscribes to all topics of a pattern.</summary>
[RegexImplicitStreamSubscription("^implicit-")]
public sealed class ImplicitGrain : ImplicitGrainBase, IImplicitGrain;

/// <summary>Attaches its observer when it is offered a subscription.</summary>
public abstract class ImplicitGrainBase : Grain, IStreamSubscriptionObserver
{
    public Task OnSubscribed(IStreamSubscriptionHandleFactory handleFactory) =>
        handleFactory.Create<Happened>().ResumeAsync(new TestObserver(handleFactory.StreamId, this));
}

public interface IBatchGrain : IGrainWithStringKey;

/// <summary>Subscribes to all topics of a pattern, and receives batches.</summary>
[RegexImplicitStreamSubscription("^batch-")]
public sealed class BatchGrain : Grain, IBatchGrain, IStreamSubscriptionObserver, IAsyncBatchObserver<Happened>
{
    /// <summary>The sizes of the batches that grains received, by topic.</summary>
    internal static readonly ConcurrentDictionary<string, ConcurrentQueue<int>> Sizes = [];

    private StreamId _stream;

    public Task OnSubscribed(IStreamSubscriptionHandleFactory handleFactory)
    {
        _stream = handleFactory.StreamId;
        return handleFactory.Create<Happened>().ResumeAsync(this);
    }

    public async Task OnNextAsync(IList<SequentialItem<Happened>> items)
    {
        Sizes.GetOrAdd(_stream.GetNamespace()!, _ => new()).Enqueue(items.Count);
        foreach (var item in items)
            await StreamScript.ReceiveAsync(_stream, this, item.Item);
    }

    public Task OnErrorAsync(Exception ex) => Task.CompletedTask;
}

public interface IExactGrain : IGrainWithGuidKey;

/// <summary>Subscribes to one topic, and attaches its observer when it is activated.</summary>
[ImplicitStreamSubscription(Topic)]
public sealed class ExactGrain : Grain, IExactGrain
{
    public const string Topic = "exact-orders";

    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        var stream = this.GetStreamProvider("test").GetStream<Happened>(Topic, this.GetPrimaryKey());
        await stream.SubscribeAsync(new TestObserver(stream.StreamId, this));
    }
}

public interface IWideGrain : IGrainWithStringKey
{
    Task SubscribeAsync(string key);
    Task<int> CountAsync(string key);
}

/// <summary>Subscribes to a topic by its attribute, and to further streams of it by itself.</summary>
[ImplicitStreamSubscription(Topic)]
public sealed class WideGrain : Grain, IWideGrain, IStreamSubscriptionObserver
{
    public const string Topic = "wide-orders";

    public Task SubscribeAsync(string key) => Stream(key).SubscribeAsync(new TestObserver(Stream(key).StreamId, this));

    public async Task<int> CountAsync(string key) => (await Stream(key).GetAllSubscriptionHandles()).Count;

    public Task OnSubscribed(IStreamSubscriptionHandleFactory handleFactory) =>
        handleFactory.Create<Happened>().ResumeAsync(new TestObserver(handleFactory.StreamId, this));

    private IAsyncStream<Happened> Stream(string key) => this.GetStreamProvider("test").GetStream<Happened>(Topic, key);
}

public interface IBlindGrain : IGrainWithStringKey;

/// <summary>Subscribes to a topic by its attribute, and attaches no observer.</summary>
[ImplicitStreamSubscription(Topic)]
public sealed class BlindGrain : Grain, IBlindGrain
{
    public const string Topic = "blind-orders";
}

public interface IResumingGrain : IGrainWithStringKey;

/// <summary>Subscribes to a topic by its attribute, and resumes what it has of another one when it is activated.</summary>
[ImplicitStreamSubscription(Topic)]
public sealed class ResumingGrain : Grain, IResumingGrain, IStreamSubscriptionObserver
{
    public const string Topic = "resuming-orders";

    /// <summary>The number of activations, of which each may have failed.</summary>
    internal static int Activations;

    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref Activations);
        await this.GetStreamProvider("test").GetStream<Happened>("explicit-resumed", this.GetPrimaryKeyString())
            .GetAllSubscriptionHandles();
    }

    public Task OnSubscribed(IStreamSubscriptionHandleFactory handleFactory) =>
        handleFactory.Create<Happened>().ResumeAsync(new TestObserver(handleFactory.StreamId, this));
}

public interface IHubGrain : IGrainWithStringKey
{
    Task SubscribeAsync(int streams);
}

/// <summary>Subscribes to many streams of the topic that its key names.</summary>
public sealed class HubGrain : Grain, IHubGrain
{
    public async Task SubscribeAsync(int streams)
    {
        for (var key = 0; key < streams; key++)
        {
            var stream = this.GetStreamProvider("test").GetStream<Happened>(this.GetPrimaryKeyString(), $"{key}");
            await stream.SubscribeAsync(new TestObserver(stream.StreamId, this));
        }
    }
}

public interface IReaderGrain : IGrainWithStringKey
{
    Task<StreamSubscriptionHandle<Happened>> SubscribeAsync(bool inBatches = false);
    Task<StreamSubscriptionHandle<Happened>> SubscribeFromAsync(StreamSequenceToken token);
    Task ResumeFromAsync(StreamSubscriptionHandle<Happened> handle, StreamSequenceToken token);
    [AlwaysInterleave]
    Task ResumeBesideAsync(StreamSubscriptionHandle<Happened> handle, StreamSequenceToken token);
    Task UnsubscribeAsync(StreamSubscriptionHandle<Happened> handle);
    Task<int> CountAsync();
    Task SubscribeOutsideAsync();
    Task ForgetAsync(Guid subscription);
    Task DeactivateAsync();
}

/// <summary>Subscribes by itself to the stream that its key names, "topic/key/name", and resumes when it is activated.</summary>
public sealed class ReaderGrain : Grain, IReaderGrain
{
    private IAsyncStream<Happened> Stream
    {
        get
        {
            var parts = this.GetPrimaryKeyString().Split('/');
            return this.GetStreamProvider("test").GetStream<Happened>(parts[0], parts[1]);
        }
    }

    private TestObserver Observer => new(Stream.StreamId, this);

    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        foreach (var handle in await Stream.GetAllSubscriptionHandles())
            await handle.ResumeAsync(Observer);
    }

    public Task<StreamSubscriptionHandle<Happened>> SubscribeAsync(bool inBatches) => inBatches
        ? Stream.SubscribeAsync(new TestBatchObserver(Stream.StreamId, this))
        : Stream.SubscribeAsync(Observer);

    public Task<StreamSubscriptionHandle<Happened>> SubscribeFromAsync(StreamSequenceToken token) => Stream.SubscribeAsync(Observer, token);

    public Task ResumeFromAsync(StreamSubscriptionHandle<Happened> handle, StreamSequenceToken token) =>
        handle.ResumeAsync(Observer, token);

    public Task ResumeBesideAsync(StreamSubscriptionHandle<Happened> handle, StreamSequenceToken token) =>
        handle.ResumeAsync(Observer, token);

    public Task UnsubscribeAsync(StreamSubscriptionHandle<Happened> handle) => handle.UnsubscribeAsync();

    public async Task<int> CountAsync() => (await Stream.GetAllSubscriptionHandles()).Count;

    public Task SubscribeOutsideAsync()
    {
        var (stream, observer) = (Stream, Observer);
        return Task.Run(() => stream.SubscribeAsync(observer));
    }

    public Task ForgetAsync(Guid subscription)
    {
        ((StreamConsumer)GrainContext.GetGrainExtension<IStreamConsumer>()).Remove(subscription);
        return Task.CompletedTask;
    }

    public Task DeactivateAsync()
    {
        DeactivateOnIdle();
        return Task.CompletedTask;
    }
}

public interface IObservingWorkerGrain : IGrainWithStringKey
{
    Task SubscribeAsync(string topic, StreamSequenceToken? token = null);
}

/// <summary>Attaches an observer in each of its activations.</summary>
[StatelessWorker(2)]
public sealed class ObservingWorkerGrain : Grain, IObservingWorkerGrain, IStreamSubscriptionObserver
{
    public Task SubscribeAsync(string topic, StreamSequenceToken? token) => DeafWorkerGrain.SubscribeAsync(this, topic, token);

    public Task OnSubscribed(IStreamSubscriptionHandleFactory handleFactory) =>
        handleFactory.Create<Happened>().ResumeAsync(new TestObserver(handleFactory.StreamId, this));
}

public interface IDeafWorkerGrain : IObservingWorkerGrain;

/// <summary>Attaches an observer in the activation that subscribes alone.</summary>
[StatelessWorker(2)]
public sealed class DeafWorkerGrain : Grain, IDeafWorkerGrain
{
    public Task SubscribeAsync(string topic, StreamSequenceToken? token) => SubscribeAsync(this, topic, token);

    internal static Task SubscribeAsync(Grain grain, string topic, StreamSequenceToken? token)
    {
        var stream = grain.GetStreamProvider("test").GetStream<Happened>(topic, grain.GetPrimaryKeyString());
        return stream.SubscribeAsync(new TestObserver(stream.StreamId, grain), token);
    }
}

public interface IDeafGrain : IGrainWithStringKey
{
    Task SubscribeAsync();
}

/// <summary>Subscribes to the stream that its key names, "topic/key/name", and does not resume when it is activated again.</summary>
public sealed class DeafGrain : Grain, IDeafGrain
{
    public async Task SubscribeAsync()
    {
        var parts = this.GetPrimaryKeyString().Split('/');
        var stream = this.GetStreamProvider("test").GetStream<Happened>(parts[0], parts[1]);
        await stream.SubscribeAsync(new TestObserver(stream.StreamId, this));
        DeactivateOnIdle();
    }
}

public interface IPositionedGrain : IGrainWithStringKey
{
    Task ActivateAsync();
    Task SubscribeFromAsync(StreamSequenceToken token);
    [AlwaysInterleave]
    Task SubscribeBesideAsync(StreamSequenceToken token);
    Task ResumeFromAsync(StreamSequenceToken token);
    Task UnsubscribeAsync();
    Task DeactivateAsync();
}

/// <summary>Subscribes to topics by its attribute, and gives a token each time that it is activated. Its key, "topic/name", is that of the
/// stream.</summary>
[RegexImplicitStreamSubscription("^positioned-")]
public sealed class PositionedGrain : Grain, IPositionedGrain
{
    /// <summary>The token of the next activation, by stream; without one there is none.</summary>
    internal static readonly ConcurrentDictionary<string, StreamSequenceToken> Tokens = [];

    /// <summary>Where the last event of each stream was that its grain has received.</summary>
    internal static readonly ConcurrentDictionary<string, StreamSequenceToken> Last = [];

    /// <summary>How many activations of a grain fail after they have subscribed, and how many there were, by stream.</summary>
    internal static readonly ConcurrentDictionary<string, (int Fail, int Began)> Activations = [];

    /// <summary>What observers were told of, by stream.</summary>
    internal static readonly ConcurrentDictionary<string, ConcurrentQueue<Exception>> Errors = [];

    private IAsyncStream<Happened> Stream =>
        this.GetStreamProvider("test").GetStream<Happened>(this.GetPrimaryKeyString().Split('/')[0], this.GetPrimaryKeyString());

    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        await Stream.SubscribeAsync(new Observer(Stream.StreamId, this), Tokens.GetValueOrDefault(this.GetPrimaryKeyString()));
        var counts = Activations.AddOrUpdate(this.GetPrimaryKeyString(), (-1, 1),
            static (_, before) => (before.Fail - 1, before.Began + 1));
        if (counts.Fail >= 0)
            throw new InvalidOperationException("not now");
    }

    public Task ActivateAsync() => Task.CompletedTask;

    public Task SubscribeFromAsync(StreamSequenceToken token) => Stream.SubscribeAsync(new Observer(Stream.StreamId, this), token);

    public Task SubscribeBesideAsync(StreamSequenceToken token) => SubscribeFromAsync(token);

    public async Task ResumeFromAsync(StreamSequenceToken token) =>
        await (await Stream.GetAllSubscriptionHandles())[0].ResumeAsync(new Observer(Stream.StreamId, this), token);

    public async Task UnsubscribeAsync() => await (await Stream.GetAllSubscriptionHandles())[0].UnsubscribeAsync();

    public Task DeactivateAsync()
    {
        DeactivateOnIdle();
        return Task.CompletedTask;
    }

    private sealed class Observer(StreamId stream, Grain grain) : IAsyncObserver<Happened>
    {
        public async Task OnNextAsync(Happened item, StreamSequenceToken? token = null)
        {
            await StreamScript.ReceiveAsync(stream, grain, item);
            Last[stream.GetKeyAsString()!] = token!;
        }

        public Task OnErrorAsync(Exception ex)
        {
            Errors.GetOrAdd(stream.GetKeyAsString()!, _ => new()).Enqueue(ex);
            return Task.CompletedTask;
        }
    }
}

public interface ITwiceGrain : IGrainWithStringKey;

/// <summary>Subscribes to a topic by two attributes.</summary>
[ImplicitStreamSubscription(Topic), RegexImplicitStreamSubscription("^twice-")]
public sealed class TwiceGrain : Grain, ITwiceGrain
{
    public const string Topic = "twice-orders";
}

public interface IPositionedWorker : IGrainWithStringKey
{
    Task SubscribeFromAsync(StreamSequenceToken token);
}

/// <summary>Subscribes to a topic by its attribute, in as many activations as there are calls.</summary>
[StatelessWorker, ImplicitStreamSubscription(Topic)]
public sealed class PositionedWorker : Grain, IPositionedWorker, IStreamSubscriptionObserver
{
    public const string Topic = "worker-orders";

    public Task SubscribeFromAsync(StreamSequenceToken token)
    {
        var stream = this.GetStreamProvider("test").GetStream<Happened>(Topic, this.GetPrimaryKeyString());
        return stream.SubscribeAsync(new TestObserver(stream.StreamId, this), token);
    }

    public Task OnSubscribed(IStreamSubscriptionHandleFactory handleFactory) =>
        handleFactory.Create<Happened>().ResumeAsync(new TestObserver(handleFactory.StreamId, this));
}
