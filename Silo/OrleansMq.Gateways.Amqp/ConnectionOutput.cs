using System.Net.Sockets;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Connections;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Amqp;

/// <summary>Sends what a machine has for its client: all that has collected, with one call, while more collects behind it.</summary>
/// <param name="gate">The lock of the machine.</param>
/// <param name="machine">The machine.</param>
/// <param name="socket">The client's socket.</param>
/// <param name="pace">Whether the client receives at a reasonable pace.</param>
/// <param name="onSent">Called after each send, without the lock.</param>
internal sealed class ConnectionOutput(Lock gate, ConnectionMachine machine, ClientSocket socket, SendPace pace, Action onSent)
{
    /// <summary>Deliveries wait, and nothing more is read, while this much is not sent: 1 MiB, more than a network holds on its
    /// way.</summary>
    public const int MaxUnsentBytes = 1 << 20;

    private PooledBuffer _sending = new();
    private bool _isSending;
    private volatile bool _isClosed;
    private volatile bool _isWaiting;
    private long _sent;

    /// <summary>Whether all is sent, or nothing can be sent any more. Under the lock.</summary>
    public bool IsDone => _isClosed || (!_isSending && machine.Output.Length == 0);

    /// <summary>Whether a send has failed: the client is gone.</summary>
    public bool HasFailed { get; private set; }

    /// <summary>Whether the client receives more slowly than it is sent to. Under the lock.</summary>
    /// <param name="expected">Bytes that are to be sent, and not collected yet.</param>
    public bool IsFull(long expected = 0) => !_isClosed && UnsentBytes + expected > MaxUnsentBytes;

    /// <summary>Bytes that are not sent. Under the lock.</summary>
    public int UnsentBytes => _sending.Length + machine.Output.Length;

    /// <summary>Whether the client receives so slowly that what waits is not worth its memory. For one caller at a time.</summary>
    public bool IsTooSlow() => pace.IsTooSlow(_isWaiting, Interlocked.Read(ref _sent));

    /// <summary>Bytes that were sent.</summary>
    public long SentBytes => Interlocked.Read(ref _sent);

    /// <summary>Sends nothing from now on.</summary>
    public void Close() => _isClosed = true;

    /// <summary>Whether <see cref="SendAsync"/> must be called now. Under the lock.</summary>
    public bool TryBegin()
    {
        if (_isSending || machine.Output.Length == 0)
            return false;
        return _isSending = true;
    }

    /// <summary>Sends until nothing is left. The caller's thread sends once: what collects meanwhile is left to the thread pool.</summary>
    public async Task SendAsync()
    {
        for (var sends = 0; TryTake(); sends++)
        {
            if (sends == 1)
                await Task.Yield();
            try
            {
                for (ReadOnlyMemory<byte> rest = _sending.WrittenMemory; !rest.IsEmpty && !_isClosed;)
                {
                    var sending = socket.SendAsync(rest);
                    _isWaiting = !sending.IsCompleted;
                    var count = await sending.ConfigureAwait(false);
                    _isWaiting = false;
                    Interlocked.Add(ref _sent, count);
                    rest = rest[count..];
                }
            }
            catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
            {
                lock (gate)
                    HasFailed = _isClosed = true;
            }
            onSent();
        }
        onSent();
    }

    private bool TryTake()
    {
        lock (gate)
        {
            _sending.Clear();
            if (_isClosed)
                machine.Output.Clear();
            if (machine.Output.Length == 0)
            {
                // An idle connection holds no memory.
                _sending.Dispose();
                machine.Output.Dispose();
                _isSending = false;
                return false;
            }
            _sending = machine.TakeOutput(_sending);
            return true;
        }
    }
}
