using System.Buffers;
using System.IO.Pipelines;
using System.Threading.Channels;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Connections;

/// <summary>The answers of one connection in the order of its requests: each is sent when it and all before it are there. One thread enqueues, one
/// sends.</summary>
/// <param name="output">Where to.</param>
/// <param name="maxInFlight">Requests that may be in flight.</param>
/// <param name="close">Called when an answer ends the connection.</param>
internal sealed class AnswerQueue(PipeWriter output, int maxInFlight, Action close)
{
    // Flushed after so many bytes, so that a large answer neither waits for its end nor fills the memory.
    private const int FlushBytes = 1 << 18;

    private readonly Channel<Task<ResponseWriter?>> _pending = Channel.CreateUnbounded<Task<ResponseWriter?>>(new UnboundedChannelOptions
    {
        SingleReader = true,
        SingleWriter = true,
    });
    private readonly SemaphoreSlim _room = new(maxInFlight);
    private readonly Lock _lock = new();
    private TaskCompletionSource? _allSent;
    private int _open;
    private int _unflushed;
    private volatile bool _isClosed;

    /// <summary>Nothing can be sent any more.</summary>
    public bool IsClosed => _isClosed;

    /// <summary>Whether all was answered.</summary>
    public bool IsIdle => Volatile.Read(ref _open) == 0;

    /// <summary>An answer that ends the connection instead.</summary>
    public static ResponseWriter Close() => new(0, isFlexible: false) { ClosesConnection = true };

    /// <summary>Waits until one more request may be in flight.</summary>
    public Task TakeRoomAsync(CancellationToken cancellationToken) => _room.WaitAsync(cancellationToken);

    /// <summary>Waits until everything before is answered and sent.</summary>
    public Task WaitUntilAllSentAsync()
    {
        lock (_lock)
            return _open == 0 ? Task.CompletedTask : (_allSent ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
    }

    /// <summary>The next answer, which may not be there yet. It must not fail, and have its room taken.</summary>
    public void Enqueue(Task<ResponseWriter?> answer)
    {
        lock (_lock)
            _open++;
        _pending.Writer.TryWrite(answer);
    }

    /// <summary>Nothing comes any more.</summary>
    public void Complete() => _pending.Writer.TryComplete();

    /// <summary>Sends until <see cref="Complete"/>, and disposes what it cannot send.</summary>
    public async Task SendAsync()
    {
        await foreach (var pending in _pending.Reader.ReadAllAsync().ConfigureAwait(false))
        {
            using (var answer = await pending.ConfigureAwait(false))
            {
                if (answer is not null)
                    await SendAsync(answer).ConfigureAwait(false);
            }
            // What is ready behind it goes out with it.
            if (_unflushed > 0 && !(_pending.Reader.TryPeek(out var next) && next.IsCompletedSuccessfully))
                await FlushAsync().ConfigureAwait(false);
            Leave();
        }
    }

    private void Leave()
    {
        _room.Release();
        lock (_lock)
        {
            if (--_open > 0)
                return;
            _allSent?.SetResult();
            _allSent = null;
        }
    }

    private async ValueTask SendAsync(ResponseWriter answer)
    {
        if (answer.ClosesConnection)
        {
            await FlushAsync().ConfigureAwait(false);
            _isClosed = true;
            close();
        }
        if (_isClosed)
            return;
        foreach (var part in answer.Frame())
        {
            for (var rest = part; !rest.IsEmpty && !_isClosed; rest = rest[Math.Min(rest.Length, FlushBytes)..])
            {
                var chunk = rest[..Math.Min(rest.Length, FlushBytes)];
                output.Write(chunk.Span);
                if ((_unflushed += chunk.Length) >= FlushBytes)
                    await FlushAsync().ConfigureAwait(false);
            }
        }
    }

    private async ValueTask FlushAsync()
    {
        _unflushed = 0;
        if (_isClosed)
            return;
        try
        {
            var flushed = await output.FlushAsync().ConfigureAwait(false);
            _isClosed |= flushed.IsCompleted || flushed.IsCanceled;
        }
        catch (Exception gone) when (gone is IOException or OperationCanceledException)
        {
            _isClosed = true;
        }
    }
}
