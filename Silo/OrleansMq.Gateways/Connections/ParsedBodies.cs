using OrleansMq.Diagnostics;

namespace OrleansMq.Gateways.Connections;

/// <summary>
/// The memory of the objects that JSON bodies are parsed to: they take several times the body's bytes. A body of
/// <see cref="FreeBytes"/> or more takes memory before it is parsed, and waits in order for it. One that needs more than the whole budget
/// gets it once no other has any. Thread safe.
/// </summary>
/// <param name="protocol">The port's protocol in log lines.</param>
/// <param name="bytes">The budget in bytes.</param>
/// <param name="clock">The clock.</param>
/// <param name="log">Where log lines go.</param>
internal sealed class ParsedBodies(string protocol, long bytes, TimeProvider clock, EngineLog log)
{
    /// <summary>256 MiB: the objects of ten bodies of 1 MiB.</summary>
    public const long DefaultBytes = 256L << 20;

    /// <summary>A body of fewer bytes, 64 KiB, takes nothing: its objects are few.</summary>
    public const int FreeBytes = 64 << 10;

    /// <summary>The most memory that a byte of a body becomes. A list of empty objects, three bytes each, comes close to it.</summary>
    public const int ObjectBytes = 24;

    /// <summary>The longest wait: as long as a body may take until its pace is judged.</summary>
    public static readonly TimeSpan MostWait = ReceivePace.Window;

    private readonly ByteBudget _budget = new(bytes);
    private readonly RareLine _full = new(log, clock);

    /// <summary>Bytes in use.</summary>
    public long Used => _budget.Used;

    /// <summary>Bodies that wait for memory.</summary>
    public int Waiting => _budget.Waiting;

    /// <summary>Takes the memory of a body's objects, once it is free.</summary>
    /// <param name="length">The body's bytes, <see cref="FreeBytes"/> or more.</param>
    /// <param name="gone">Cancelled when the client is gone.</param>
    /// <returns>What returns it when it is disposed; null: none was free for <see cref="MostWait"/>.</returns>
    public async ValueTask<Place?> TryTakeAsync(int length, CancellationToken gone)
    {
        var taken = (long)length * ObjectBytes;
        using var deadline = new CancellationTokenSource(MostWait, clock);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, gone);
        try
        {
            await _budget.TakeAsync(taken, ended.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!gone.IsCancellationRequested)
        {
            _full.Write(EngineLogLevel.Warning, $"A {protocol} request was refused: the objects of other JSON bodies had all the memory "
                + $"for {MostWait.TotalSeconds:0} s. They use {_budget.Used} bytes, {bytes} are allowed.");
            return null;
        }
        return new Place(_budget, taken);
    }

    /// <summary>The memory of one body's objects.</summary>
    internal sealed class Place(ByteBudget budget, long bytes) : IDisposable
    {
        private long _bytes = bytes;

        /// <summary>Returns it, once.</summary>
        public void Dispose()
        {
            if (Interlocked.Exchange(ref _bytes, 0) is > 0 and var taken)
                budget.Return(taken);
        }
    }
}
