using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.State;

/// <summary>A change of a document as a journal holds it.</summary>
/// <param name="Key">The document's key.</param>
/// <param name="Version">The version that it made.</param>
/// <param name="Value">The document; null where it was deleted.</param>
internal readonly record struct JournaledChange(string Key, long Version, byte[]? Value);

/// <summary>
/// Changes of documents in the order in which they were made, in files <c>&lt;number&gt;.journal</c> of a directory. A frame holds changes
/// that are flushed together:
/// <code>
/// uint32 magic | uint32 CRC-32C of what follows | int32 bytes of the changes | int64 number of the frame
/// change: uint16 bytes of the key, key, int64 version, int32 bytes of the value or -1, value
/// splice: uint16 bytes of the key, key, int64 version, int32 2^31-1, int32 prefix, int32 suffix, int32 bytes between, bytes between
/// </code>
/// A splice is a change of a document whose version before is in the same file: the value is the prefix of the value before, the bytes
/// between and the suffix of the value before (<see cref="ValueSplice"/>). So each file can be read without those before it.
/// Each frame has the next number, over all files. Behind the last frame a file has zeros, so that a flush need not change its length. A
/// frame that is not whole is the end of what was flushed, unless a whole one follows it. Big-endian; for one thread at a time.
/// </summary>
internal sealed class StateJournal : IDisposable
{
    /// <summary>The suffix of its files.</summary>
    public const string Suffix = ".journal";

    private const uint Magic = 0x4f4d514a;
    private const int HeaderBytes = 20;
    private const int CrcFrom = 8;
    // No value is as long: a program that does not know splices stops at one, and does not take it for a deletion.
    private const int SpliceMark = int.MaxValue;
    private const int SpliceBytes = 3 * sizeof(int);
    // Of smaller values a file of a document each takes longer to write than the bytes.
    private const int LargeBytes = 16 << 10;
    private const int ExtensionBytes = 256 << 10;
    // On a full disk the zeros take the last changes, and then give room to the documents' files.
    private const int ReservedBytes = 64 << 10;

    private readonly IFileSystem _files;
    private readonly string _directory;
    private readonly Action? _begins;
    private readonly ArrayBufferWriter<byte> _frame = new(4096);
    private IFile? _file;
    private long _position;
    private long _allocated;
    private long _frames;
    private (long Moved, long Base) _frameBytes;
    private IOException? _broken;

    private StateJournal(IFileSystem files, string directory, long number, long frames, Action? begins)
    {
        (_files, _directory, _begins) = (files, directory, begins);
        (Number, _frames) = (number, frames);
    }

    /// <summary>The number of the file that takes the next change.</summary>
    public long Number { get; private set; }

    /// <summary>The bytes of the changes in that file.</summary>
    public long Length => _position;

    /// <summary>The bytes behind the splices in that file: a start moves them.</summary>
    public long MovedBytes { get; private set; }

    /// <summary>The bytes of large values in that file whose version before is not there: changes of their documents may be splices from
    /// then on.</summary>
    public long BaseBytes { get; private set; }

    /// <summary>Whether the disk has no room for a longer file: another should begin, and those before it go.</summary>
    public bool IsCramped { get; private set; }

    /// <summary>Reads what is there. The next change begins a new file.</summary>
    /// <param name="files">The disk.</param>
    /// <param name="directory">Where; it need not exist.</param>
    /// <param name="replay">Called with the last change of each document that a file has, file by file.</param>
    /// <param name="begins">Called before each new file, and where there are files already.</param>
    /// <exception cref="CorruptStateException">A file is damaged before its end, or one is missing.</exception>
    /// <exception cref="IOException">A file cannot be read, or not be flushed.</exception>
    public static StateJournal Open(IFileSystem files, string directory, Action<JournaledChange> replay, Action? begins = null)
    {
        var number = 0L;
        long? frames = null;
        if (files.DirectoryExists(directory))
        {
            foreach (var there in Numbers(files, directory))
            {
                frames = Recover(files, PathOf(directory, there), frames, replay);
                number = there + 1;
            }
            files.FlushDirectory(directory);
            files.FlushDirectory(Path.GetDirectoryName(directory)!);
        }
        if (number > 0)
            begins?.Invoke();
        return new StateJournal(files, directory, number, frames ?? 0, begins);
    }

    /// <summary>Appends changes. They are durable when this returns.</summary>
    /// <param name="changes">The changes, in order.</param>
    /// <param name="findWritten">Returns the last change of a document that was appended to the file <see cref="Number"/>; null for
    /// none.</param>
    /// <exception cref="IOException">None of them is stored.</exception>
    public void Append(IReadOnlyCollection<JournaledChange> changes, Func<string, JournaledChange?> findWritten)
    {
        if (_broken is not null)
        {
            throw new IOException($"{_broken.Message} The journal '{_directory}' takes no changes since then: restart the broker.",
                _broken);
        }
        Encode(changes, findWritten);
        try
        {
            Write();
        }
        catch (Exception fault)
        {
            TakeBack(fault);
            throw;
        }
        _frames++;
        MovedBytes += _frameBytes.Moved;
        BaseBytes += _frameBytes.Base;
    }

    /// <summary>Ends the file and gives back its zeros: the next change begins a new one.</summary>
    /// <exception cref="IOException">The zeros stay.</exception>
    public void Rotate()
    {
        if (_file is null)
            return;
        try
        {
            _file.SetLength(_position);
        }
        finally
        {
            _file.Dispose();
            _file = null;
            (_position, _allocated, MovedBytes, BaseBytes, IsCramped) = (0, 0, 0, 0, false);
            Number++;
        }
    }

    /// <summary>Deletes the files before that number, the oldest first: a later one never goes before an earlier one.</summary>
    /// <exception cref="IOException">Some are left.</exception>
    public static void DeleteBefore(IFileSystem files, string directory, long number)
    {
        foreach (var old in Numbers(files, directory).Where(there => there < number))
        {
            files.DeleteFile(PathOf(directory, old));
            files.FlushDirectory(directory);
        }
    }

    /// <summary>Whether a directory has no file of a journal.</summary>
    public static bool IsEmpty(IFileSystem files, string directory) =>
        !files.DirectoryExists(directory) || Numbers(files, directory).Length == 0;

    public void Dispose() => _file?.Dispose();

    private static long[] Numbers(IFileSystem files, string directory) => [.. files.ListFiles(directory)
        .Select(static name => (Name: name, Number: long.TryParse(Path.GetFileNameWithoutExtension(name), NumberStyles.None,
            CultureInfo.InvariantCulture, out var number) ? number : -1))
        // Other names are not the journal's.
        .Where(static file => file.Number >= 0 && file.Name == NameOf(file.Number))
        .Select(static file => file.Number).Order()];

    private static string NameOf(long number) => string.Create(CultureInfo.InvariantCulture, $"{number:D12}{Suffix}");

    private static string PathOf(string directory, long number) => Path.Combine(directory, NameOf(number));

    private void Encode(IReadOnlyCollection<JournaledChange> changes, Func<string, JournaledChange?> findWritten)
    {
        _frame.ResetWrittenCount();
        _frame.GetSpan(HeaderBytes);
        _frame.Advance(HeaderBytes);
        _frameBytes = default;
        var encoded = new Dictionary<string, JournaledChange>(StringComparer.Ordinal);
        foreach (var change in changes)
        {
            var before = encoded.TryGetValue(change.Key, out var earlier) ? earlier : findWritten(change.Key);
            Encode(change, before is { } last && last.Version == change.Version - 1 ? last.Value : null);
            encoded[change.Key] = change;
        }
        var frame = System.Runtime.InteropServices.MemoryMarshal.AsMemory(_frame.WrittenMemory).Span;
        BinaryPrimitives.WriteUInt32BigEndian(frame, Magic);
        BinaryPrimitives.WriteInt32BigEndian(frame[8..], frame.Length - HeaderBytes);
        BinaryPrimitives.WriteInt64BigEndian(frame[12..], _frames + 1);
        BinaryPrimitives.WriteUInt32BigEndian(frame[4..], Crc32C.Compute(frame[CrcFrom..]));
    }

    // The value of the version before is null where neither the file nor the frame has it.
    private void Encode(JournaledChange change, byte[]? before)
    {
        var (key, version, value) = change;
        var isSplice = ValueSplice.TryMake(before, value, out var splice);
        ReadOnlySpan<byte> bytes = isSplice ? splice.Between : value;
        var keyBytes = Encoding.UTF8.GetByteCount(key);
        var headBytes = sizeof(ushort) + keyBytes + sizeof(long) + sizeof(int) + (isSplice ? SpliceBytes : 0);
        var span = _frame.GetSpan(headBytes + bytes.Length);
        BinaryPrimitives.WriteUInt16BigEndian(span, checked((ushort)keyBytes));
        Encoding.UTF8.GetBytes(key, span[sizeof(ushort)..]);
        var rest = span[(sizeof(ushort) + keyBytes)..];
        BinaryPrimitives.WriteInt64BigEndian(rest, version);
        BinaryPrimitives.WriteInt32BigEndian(rest[8..], isSplice ? SpliceMark : value?.Length ?? -1);
        if (isSplice)
        {
            BinaryPrimitives.WriteInt32BigEndian(rest[12..], splice.Prefix);
            BinaryPrimitives.WriteInt32BigEndian(rest[16..], splice.Suffix);
            BinaryPrimitives.WriteInt32BigEndian(rest[20..], bytes.Length);
            _frameBytes.Moved += splice.Suffix;
        }
        if (before is null && bytes.Length >= LargeBytes)
            _frameBytes.Base += bytes.Length;
        bytes.CopyTo(span[headBytes..]);
        _frame.Advance(headBytes + bytes.Length);
    }

    private void Write()
    {
        var isNew = _file is null;
        if (isNew)
        {
            _begins?.Invoke();
            DurableDirectory.Create(_files, _directory);
            _file = _files.Open(PathOf(_directory, Number), FileOpening.CreateOrTruncate);
        }
        var end = _position + _frame.WrittenCount;
        if (end + ReservedBytes > _allocated && !IsCramped)
            Extend(end);
        _file!.Write(_frame.WrittenSpan, _position);
        _allocated = Math.Max(_allocated, end);
        _file.Flush();
        if (isNew)
            _files.FlushDirectory(_directory);
        _position = end;
    }

    private void Extend(long end)
    {
        try
        {
            _file!.Write(new byte[end + ExtensionBytes - _allocated], _allocated);
            _allocated = end + ExtensionBytes;
        }
        catch (DiskFullException)
        {
            IsCramped = true;
        }
    }

    // What of the frame has reached the disk must not be there after a restart: its callers are told that it is not stored. A file whose
    // flush has failed takes no further one.
    private void TakeBack(Exception fault)
    {
        try
        {
            if (_file is not null)
            {
                _file.SetLength(_position);
                _file.Flush();
                Rotate();
            }
        }
        catch (Exception second) when (second is IOException or UnauthorizedAccessException)
        {
            _broken = new IOException(fault.Message, second);
        }
    }

    // Reads a file, and makes durable what was read: a killed process may have left it unflushed. Cuts what is behind the last whole
    // frame. Returns the number of that frame; null if there was none yet.
    private static long? Recover(IFileSystem files, string path, long? frames, Action<JournaledChange> replay)
    {
        var bytes = (AtomicFile.TryRead(files, path) ?? throw new IOException($"The journal '{path}' cannot be found any more."))
            .AsSpan();
        var position = 0;
        var last = new Dictionary<string, LastChange>(StringComparer.Ordinal);
        while (TryFrame(bytes[position..], out var length, out var number))
        {
            if (frames is { } before && number != before + 1)
            {
                throw new CorruptStateException(path, new InvalidDataException(
                    $"the changes at byte {position} have the number {number}, and those before them {before}: some are missing"));
            }
            try
            {
                Read(bytes.Slice(position + HeaderBytes, length), last);
            }
            catch (InvalidDataException wrong)
            {
                throw new CorruptStateException(path, wrong);
            }
            position += HeaderBytes + length;
            frames = number;
        }
        for (var behind = position + 1; behind <= bytes.Length - HeaderBytes; behind++)
        {
            if (TryFrame(bytes[behind..], out _, out _))
            {
                throw new CorruptStateException(path,
                    new InvalidDataException($"the changes at byte {position} cannot be read, and those at byte {behind} follow them"));
            }
        }
        using var file = files.Open(path, FileOpening.ReadWrite);
        file.SetLength(position);
        file.Flush();
        foreach (var (key, (version, value)) in last)
            replay(new JournaledChange(key, version, value?.Take()));
        return frames;
    }

    private static bool TryFrame(ReadOnlySpan<byte> bytes, out int length, out long number)
    {
        (length, number) = (0, 0);
        if (bytes.Length < HeaderBytes || BinaryPrimitives.ReadUInt32BigEndian(bytes) != Magic)
            return false;
        length = BinaryPrimitives.ReadInt32BigEndian(bytes[8..]);
        number = BinaryPrimitives.ReadInt64BigEndian(bytes[12..]);
        return length >= 0 && length <= bytes.Length - HeaderBytes
            && BinaryPrimitives.ReadUInt32BigEndian(bytes[4..]) == Crc32C.Compute(bytes[CrcFrom..(HeaderBytes + length)]);
    }

    // Reads a frame after the last changes of documents that the file has before it, which become those with the frame.
    private static void Read(ReadOnlySpan<byte> changes, Dictionary<string, LastChange> last)
    {
        while (changes.Length > 0)
        {
            var keyBytes = BinaryPrimitives.ReadUInt16BigEndian(changes);
            var key = Encoding.UTF8.GetString(changes.Slice(sizeof(ushort), keyBytes));
            changes = changes[(sizeof(ushort) + keyBytes)..];
            var version = BinaryPrimitives.ReadInt64BigEndian(changes);
            var valueBytes = BinaryPrimitives.ReadInt32BigEndian(changes[sizeof(long)..]);
            changes = changes[(sizeof(long) + sizeof(int))..];
            SplicedValue? value;
            if (valueBytes == SpliceMark)
            {
                value = ReadSplice(changes, key, version, last, out var length);
                changes = changes[length..];
            }
            else
            {
                value = valueBytes < 0 ? null : new SplicedValue(changes[..valueBytes].ToArray());
                changes = changes[Math.Max(valueBytes, 0)..];
            }
            last[key] = new LastChange(version, value);
        }
    }

    // Returns the value before, which has become the value.
    private static SplicedValue ReadSplice(ReadOnlySpan<byte> bytes, string key, long version, Dictionary<string, LastChange> last,
        out int length)
    {
        var between = bytes.Length < SpliceBytes ? -1 : BinaryPrimitives.ReadInt32BigEndian(bytes[8..]);
        if (between < 0 || between > bytes.Length - SpliceBytes)
            throw new InvalidDataException($"the change of '{key}' to version {version} ends behind the changes that it is one of");
        if (!last.TryGetValue(key, out var before) || before.Value is null || before.Version != version - 1)
            throw new InvalidDataException($"the change of '{key}' to version {version} does not follow version {version - 1}");
        length = SpliceBytes + between;
        var splice = new ValueSplice(BinaryPrimitives.ReadInt32BigEndian(bytes), BinaryPrimitives.ReadInt32BigEndian(bytes[4..]),
            bytes[SpliceBytes..length]);
        return before.Value.TryApply(splice) ? before.Value
            : throw new InvalidDataException($"the change of '{key}' to version {version} keeps more than version {version - 1} has");
    }

    /// <param name="Version">The version that it made.</param>
    /// <param name="Value">The document; null where it was deleted.</param>
    private readonly record struct LastChange(long Version, SplicedValue? Value);
}
