using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Replication;

namespace OrleansMq.Grains.Topics;

/// <summary>
/// Pushes the latest image to every live broker. Each broker has at most one call in flight, with the changes since its image; later
/// changes go with the next call. A broker with an unexpected image gets the whole image. Thread safe.
/// </summary>
internal sealed class ImagePublisher(ReplicaServices brokers, ClusterMembership membership, EngineLog log) : IAsyncDisposable
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _stopped = new();
    private readonly Dictionary<int, Recipient> _recipients = [];
    private TaskCompletionSource _progress = NewSignal();
    private ClusterImage _newest = ClusterImage.Empty;

    /// <summary>Raised when a broker has an image of a later controller, so this one no longer controls anything.</summary>
    public event Action? Superseded;

    /// <summary>Publishes the latest image to all live brokers.</summary>
    public void Publish(ClusterImage image)
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
            if (!_recipients.TryGetValue(broker, out var recipient) || (recipient.Has?.Version ?? 0) <= version)
                return;
            recipient.Has = null;
            Publish(_newest);
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
                        && found.Has?.Version >= version))
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
                var delta = ClusterDelta.Between(next.Has ?? ClusterImage.Empty, next.Newest);
                var version = await brokers.Of(recipient.Broker).PushImageAsync(ClusterDeltaCodec.Write(delta))
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
            catch (Exception unanswered)
                when (unanswered is TimeoutException or OrleansException or BrokerException or InvalidDataException)
            {
                log.Write(EngineLogLevel.Debug,
                    $"Broker {recipient.Broker} did not confirm metadata version {next.Newest.Version}; retrying.", unanswered);
                // The outcome is unknown; the answer to the next push tells.
                pause = await PauseAsync(pause).ConfigureAwait(false);
            }
        }
    }

    // What to send; null if the broker has the latest image or is not alive.
    private (ClusterImage? Has, ClusterImage Newest)? Next(Recipient recipient)
    {
        lock (_lock)
        {
            if (!_stopped.IsCancellationRequested && recipient.Has?.Version != _newest.Version && membership.IsAlive(recipient.Broker))
                return (recipient.Has, _newest);
            // Under the lock, so that the next publisher sees that no send is in progress.
            recipient.Sending = Task.CompletedTask;
            return null;
        }
    }

    // Whether the broker applied what was sent.
    private bool Answered(Recipient recipient, ClusterImage sent, long version)
    {
        lock (_lock)
        {
            recipient.Has = version == sent.Version ? sent : null;
            Pulse();
        }
        if (version > sent.Version)
        {
            _stopped.Cancel();
            Superseded?.Invoke();
        }
        return version == sent.Version;
    }

    private static async Task<TimeSpan> PauseAsync(TimeSpan pause)
    {
        await Task.Delay(pause, CancellationToken.None).ConfigureAwait(false);
        return pause * 2 < LongestPause ? pause * 2 : LongestPause;
    }

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
        public ClusterImage? Has { get; set; }
        public Task Sending { get; set; } = Task.CompletedTask;
    }
}
