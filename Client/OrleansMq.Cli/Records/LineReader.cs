namespace OrleansMq.Cli.Records;

/// <summary>
/// Splits a stream of bytes into lines at <c>\n</c>, which is not part of a line. Bytes are passed through as they are: nothing is decoded,
/// and a <c>\r</c> stays unless asked. A last line without <c>\n</c> is a line too; an empty one is not.
/// </summary>
internal sealed class LineReader
{
    /// <summary>Bytes read at a time: large enough that the calls to the system cost little.</summary>
    private const int ReadSize = 128 << 10;

    private readonly Stream _input;
    private readonly int _maxLineBytes;
    private readonly bool _trimCarriageReturn;
    private byte[] _buffer = new byte[ReadSize];
    private int _start;
    private int _scanned;
    private int _end;
    private bool _ended;

    /// <summary>Reads lines of at most <paramref name="maxLineBytes"/> bytes.</summary>
    public LineReader(Stream input, int maxLineBytes, bool trimCarriageReturn = false)
    {
        _input = input;
        _maxLineBytes = maxLineBytes;
        _trimCarriageReturn = trimCarriageReturn;
    }

    /// <summary>Lines returned so far.</summary>
    public long LineNumber { get; private set; }

    /// <summary>Bytes of those lines, without their ends.</summary>
    public long BytesRead { get; private set; }

    /// <summary>The next line, valid until the next call; false at the end.</summary>
    /// <exception cref="LineTooLongException">A line is longer than allowed; it was not read to its end.</exception>
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
            // One byte more than allowed may be the \r that is trimmed.
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

    /// <summary>Reads more, behind what is left of an unfinished line; false at the end of the stream.</summary>
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

/// <summary>A line that no batch can hold.</summary>
internal sealed class LineTooLongException(long lineNumber, int maxLineBytes) : Exception
{
    /// <summary>The line's number, from 1.</summary>
    public long LineNumber { get; } = lineNumber;

    /// <summary>How long it may be.</summary>
    public int MaxLineBytes { get; } = maxLineBytes;
}
