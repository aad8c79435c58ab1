namespace OrleansMq.Cli.Terminal;

/// <summary>One line on standard error that is refreshed while an operation runs, and cleared at the end. Only on a terminal.</summary>
internal sealed class ProgressLine : IDisposable
{
    // Often enough to look alive, rarely enough to cost nothing.
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(200);

    private readonly Func<string> _text;
    private readonly Timer? _timer;
    private readonly Lock _writing = new();
    private int _width;
    private bool _ended;

    /// <summary>Shows the text that <paramref name="text"/> returns, refreshed periodically.</summary>
    public ProgressLine(Func<string> text)
    {
        _text = text;
        if (!Console.IsErrorRedirected)
            _timer = new Timer(_ => Show(), null, Interval, Interval);
    }

    /// <summary>Clears the line.</summary>
    public void Dispose()
    {
        _timer?.Dispose();
        lock (_writing)
        {
            _ended = true;
            if (_width > 0)
                Console.Error.Write('\r' + new string(' ', _width) + '\r');
            _width = 0;
        }
    }

    private void Show()
    {
        lock (_writing)
        {
            if (_ended)
                return;
            var text = _text();
            Console.Error.Write('\r' + text.PadRight(_width));
            _width = text.Length;
        }
    }
}
