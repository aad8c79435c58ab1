using OrleansMq.Diagnostics;
using OrleansMq.Grains.Replication;

namespace OrleansMq.Grains.Topics;

/// <summary>How images of one kind get to brokers.</summary>
internal interface IImageTransport<TImage> where TImage : class
{
    /// <summary>What is pushed, in messages.</summary>
    string Noun { get; }

    /// <summary>Returns the version of an image. A later one has a higher version, also where it is another publisher's.</summary>
    long VersionOf(TImage image);

    /// <summary>Returns what makes the later image out of the earlier one, or the whole image where there is none.</summary>
    ReadOnlyMemory<byte> Write(TImage? before, TImage after);

    /// <summary>Sends what was written.</summary>
    /// <returns>The version that the broker has afterwards.</returns>
    Task<long> PushAsync(int broker, ReadOnlyMemory<byte> written);
}

/// <summary>
/// Pushes the latest image to every live broker. Each broker has at most one call in flight, with the changes since its image; later
/// changes go with the next call. A broker with an unexpected image gets the whole image. Thread safe.
/// </summary>
internal sealed class ImagePublisher<TImage>(IImageTransport<TImage> transport, ClusterMembership membership, EngineLog log)
    : IAsyncDisposable where TImage : class
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _stopped = new();
    private readonly Dictionary<int, Recipient> _recipients = [];
    private TaskCompletionSource _progress = NewSignal();
    private TImage? _newest;

    /// <summary>Raised when a broker has an image of a later publisher, so that this one has nothing to say any more.</summary>
    public event Action? Superseded;

    /// <summary>Publishes the latest image to all live brokers.</summary>
    public void Publish(TImage image)
    {
        lock (_lock)
        {
            _newest = image;
            Pulse();
            foreach (var broker in membership.Brokers.Silos.Keys)
            {
                if (!_recipients.TryGetValue(broker, out var recipient))
                    _recipients[broker] = recipient = new Recipient(broker);
                if (recipient.Sending.IsCompleted && !_stopped.IsCancellationRequested)
                    recipient.Sending = Task.Run(() => SendAsync(recipient));
            }
        }
    }

    /// <summary>Handles a broker's report of its version: if that is not what was sent, the broker gets the whole latest image.</summary>
    public void Correct(int broker, long version)
    {
        lock (_lock)
        {
            if (!_recipients.TryGetValue(broker, out var recipient) || VersionOf(recipient.Has) <= version)
                return;
            recipient.Has = null;
            Publish(_newest!);
        }
    }

    /// <summary>Returns when every live broker has that version or a newer one, or when the deadline passes.</summary>
    public async Task WaitAsync(long version, TimeSpan deadline)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(_stopped.Token);
        timeout.CancelAfter(deadline);
        try
        {
            while (true)
            {
                Task progress;
                lock (_lock)
                {
                    if (membership.Brokers.Silos.Keys.All(broker => _recipients.TryGetValue(broker, out var found)
                        && found.Has is { } has && transport.VersionOf(has) >= version))
                        return;
                    progress = _progress.Task;
                }
                await progress.WaitAsync(timeout.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            // A broker that has not answered gets the image when it does.
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stopped.CancelAsync().ConfigureAwait(false);
        Task[] sending;
        lock (_lock)
            sending = [.. _recipients.Values.Select(recipient => recipient.Sending)];
        await Task.WhenAll(sending).ConfigureAwait(false);
    }

    private async Task SendAsync(Recipient recipient)
    {
        var pause = FirstPause;
        while (Next(recipient) is { } next)
        {
            try
            {
                var version = await transport.PushAsync(recipient.Broker, transport.Write(next.Has, next.Newest))
                    .WaitAsync(_stopped.Token).ConfigureAwait(false);
                if (Answered(recipient, next.Newest, version))
                    pause = FirstPause;
                else
                    pause = await PauseAsync(pause).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
            {
                return;
            }
            // Whatever it is: a send that ended here would leave the broker with an old image for good.
            catch (Exception unanswered)
            {
                Report(recipient, next.Newest, unanswered);
                // The outcome is unknown; the answer to the next push tells.
                pause = await PauseAsync(pause).ConfigureAwait(false);
            }
        }
    }

    // What to send; null if the broker has the latest image or is not alive.
    private (TImage? Has, TImage Newest)? Next(Recipient recipient)
    {
        lock (_lock)
        {
            if (!_stopped.IsCancellationRequested && _newest is { } newest && VersionOf(recipient.Has) != VersionOf(newest)
                && membership.IsAlive(recipient.Broker))
                return (recipient.Has, newest);
            // Under the lock, so that the next publisher sees that no send is in progress.
            recipient.Sending = Task.CompletedTask;
            return null;
        }
    }

    // Whether the broker applied what was sent.
    private bool Answered(Recipient recipient, TImage sent, long version)
    {
        var sentVersion = VersionOf(sent);
        lock (_lock)
        {
            recipient.Has = version == sentVersion ? sent : null;
            Pulse();
        }
        if (version > sentVersion)
        {
            _stopped.Cancel();
            Superseded?.Invoke();
        }
        return version == sentVersion;
    }

    // A fault that no network and no broker explains is reported once for each image.
    private void Report(Recipient recipient, TImage image, Exception fault)
    {
        var version = VersionOf(image);
        var isExpected = fault is TimeoutException or OrleansException or BrokerException or InvalidDataException
            || version == recipient.Reported;
        if (!isExpected)
            recipient.Reported = version;
        log.Write(isExpected ? EngineLogLevel.Debug : EngineLogLevel.Error,
            $"Broker {recipient.Broker} did not confirm version {version} of the {transport.Noun}; retrying. {fault.Message}", fault);
    }

    private static async Task<TimeSpan> PauseAsync(TimeSpan pause)
    {
        await Task.Delay(pause, CancellationToken.None).ConfigureAwait(false);
        return pause * 2 < LongestPause ? pause * 2 : LongestPause;
    }

    private long VersionOf(TImage? image) => image is null ? 0 : transport.VersionOf(image);

    private void Pulse()
    {
        _progress.TrySetResult();
        _progress = NewSignal();
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private sealed class Recipient(int broker)
    {
        public int Broker => broker;
        // The broker's image; null if not known.
        public TImage? Has { get; set; }
        public Task Sending { get; set; } = Task.CompletedTask;
        // The version with which a fault was reported; 0 for none. Of the send in progress alone.
        public long Reported { get; set; }
    }
}
