namespace OrleansMq.Cli.Records;

/// <summary>
/// Splits a stream of bytes into lines at <c>\n</c>, which is not part of a line. Bytes are passed on without decoding, and a <c>\r</c> is
/// kept unless trimming is enabled. A last line without <c>\n</c> counts, unless it is empty.
/// </summary>
internal sealed class LineReader
{
    /// <summary>Bytes per read: large enough to make the system calls cheap.</summary>
    private const int ReadSize = 128 << 10;

    private readonly Stream _input;
    private readonly int _maxLineBytes;
    private readonly bool _trimCarriageReturn;
    private byte[] _buffer = new byte[ReadSize];
    private int _start;
    private int _scanned;
    private int _end;
    private bool _ended;

    /// <summary>Creates a reader for lines of at most <paramref name="maxLineBytes"/> bytes.</summary>
    public LineReader(Stream input, int maxLineBytes, bool trimCarriageReturn = false)
    {
        _input = input;
        _maxLineBytes = maxLineBytes;
        _trimCarriageReturn = trimCarriageReturn;
    }

    /// <summary>The number of lines returned.</summary>
    public long LineNumber { get; private set; }

    /// <summary>The bytes of those lines, without line ends.</summary>
    public long BytesRead { get; private set; }

    /// <summary>Reads the next line, valid until the next call. Returns false at the end.</summary>
    /// <exception cref="LineTooLongException">A line is too long; it was not read to its end.</exception>
    public bool TryRead(out ReadOnlyMemory<byte> line)
    {
        while (true)
        {
            var length = _buffer.AsSpan(_scanned, _end - _scanned).IndexOf((byte)'\n');
            if (length >= 0)
            {
                line = Take(_scanned + length - _start);
                _start = _scanned = _scanned + length + 1;
                return true;
            }
            _scanned = _end;
            // One extra byte may be the \r that is trimmed.
            if (_end - _start > _maxLineBytes + (_trimCarriageReturn ? 1 : 0))
                throw new LineTooLongException(LineNumber + 1, _maxLineBytes);
            if (_ended || !Fill())
                return TakeLast(out line);
        }
    }

    private bool TakeLast(out ReadOnlyMemory<byte> line)
    {
        line = default;
        if (_start == _end)
            return false;
        line = Take(_end - _start);
        _start = _scanned = _end;
        return true;
    }

    private ReadOnlyMemory<byte> Take(int length)
    {
        var line = _buffer.AsMemory(_start, length);
        if (_trimCarriageReturn && line.Span is [.., (byte)'\r'])
            line = line[..^1];
        if (line.Length > _maxLineBytes)
            throw new LineTooLongException(LineNumber + 1, _maxLineBytes);
        LineNumber++;
        BytesRead += line.Length;
        return line;
    }

    /// <summary>Reads more bytes after the unfinished line. Returns false at the end of the stream.</summary>
    private bool Fill()
    {
        if (_start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            _end -= _start;
            _scanned -= _start;
            _start = 0;
        }
        if (_buffer.Length - _end < ReadSize / 2)
            Array.Resize(ref _buffer, _buffer.Length * 2);
        var read = _input.Read(_buffer, _end, _buffer.Length - _end);
        _end += read;
        _ended = read == 0;
        return !_ended;
    }
}

/// <summary>A line is too long for a batch.</summary>
internal sealed class LineTooLongException(long lineNumber, int maxLineBytes) : Exception
{
    /// <summary>The line's number, from 1.</summary>
    public long LineNumber { get; } = lineNumber;

    /// <summary>The maximum length.</summary>
    public int MaxLineBytes { get; } = maxLineBytes;
}
