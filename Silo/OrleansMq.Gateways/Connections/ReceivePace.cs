namespace OrleansMq.Gateways.Connections;

/// <summary>
/// Whether the frames of a connection arrive at a reasonable pace: a frame that arrives slowly holds memory. Each
/// <see cref="Window"/> of a frame must bring <see cref="MinBytesPerSecond"/>; while other frames wait for memory, it must also bring a
/// part of what the frame holds, so that a large one cannot hold it for hours. The time in which a frame waits for memory itself does not
/// count. For one caller at a time.
/// </summary>
/// <param name="clock">The clock.</param>
internal sealed class ReceivePace(TimeProvider clock)
{
    /// <summary>How long a frame is measured: a lost packet and its repetitions take seconds.</summary>
    public static readonly TimeSpan Window = TimeSpan.FromSeconds(30);

    /// <summary>Less than any network in use brings.</summary>
    public const int MinBytesPerSecond = 4 << 10;

    // Of the memory that a frame holds, one part in so many must arrive in each window while others wait for memory.
    private const int Part = 4;

    private RequestFrame? _frame;
    private long _since;
    private int _filled;

    /// <summary>Looks at the frame that is being received. To be called several times within a window.</summary>
    /// <param name="frame">Null where none is.</param>
    /// <param name="isScarce">Whether other frames wait for memory.</param>
    /// <param name="isTooSlow">Whether it brought too little.</param>
    /// <returns>Whether it has brought something since it was last looked at.</returns>
    public bool Check(RequestFrame? frame, bool isScarce, out bool isTooSlow)
    {
        isTooSlow = false;
        if (frame is null || frame != _frame || frame.IsWaiting)
        {
            Begin(frame);
            return frame is not null;
        }
        var elapsed = clock.GetElapsedTime(_since);
        var arrived = frame.Filled - _filled;
        if (elapsed < Window)
            return arrived > 0;
        var least = isScarce ? Math.Max(frame.Taken / (Part * Window.TotalSeconds), MinBytesPerSecond) : MinBytesPerSecond;
        isTooSlow = arrived < least * elapsed.TotalSeconds && frame.Missing > 0;
        if (!isTooSlow)
            Begin(frame);
        return !isTooSlow;
    }

    private void Begin(RequestFrame? frame) => (_frame, _since, _filled) = (frame, clock.GetTimestamp(), frame?.Filled ?? 0);
}
