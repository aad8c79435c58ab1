using System.Buffers;
using System.Text;

namespace OrleansMq.Filters;

/// <summary>
/// The pattern of LIKE: <c>%</c> stands for any characters, <c>_</c> for one. The pattern is cut at each <c>%</c>; its parts are searched
/// one after another, each at its first place behind the one before. That needs no backtracking beyond the part, so a match takes at
/// most (bytes of the value) * (bytes of the pattern) steps.
/// </summary>
internal sealed class LikePattern
{
    private readonly Part[] _parts;
    private readonly bool _startsAnywhere;
    private readonly bool _endsAnywhere;

    private LikePattern(Part[] parts, bool startsAnywhere, bool endsAnywhere) =>
        (_parts, _startsAnywhere, _endsAnywhere) = (parts, startsAnywhere, endsAnywhere);

    /// <summary>Compiles a pattern.</summary>
    /// <param name="pattern">The pattern.</param>
    /// <param name="escape">The character that makes the next one literal, which must be %, _ or itself; null for none.</param>
    /// <param name="fault">Where the pattern is wrong: the index of an escape character before another one; -1 if it is right.</param>
    public static LikePattern? Compile(string pattern, char? escape, out int fault)
    {
        fault = -1;
        var parts = new List<Part>();
        var text = new StringBuilder();
        var any = new List<bool>();
        var isOpen = false;
        var startsAnywhere = false;
        for (var i = 0; i < pattern.Length; i++)
        {
            var c = pattern[i];
            if (c == escape)
            {
                if (i + 1 == pattern.Length || pattern[i + 1] is not ('%' or '_') && pattern[i + 1] != escape)
                {
                    fault = i;
                    return null;
                }
                Add(pattern[++i], false);
            }
            else if (c != '%')
                Add(c, c == '_');
            else
            {
                if (text.Length == 0 && parts.Count == 0)
                    startsAnywhere = true;
                Close();
                isOpen = true;
            }
        }
        var endsAnywhere = isOpen && text.Length == 0;
        Close();
        return new LikePattern([.. parts], startsAnywhere, endsAnywhere);

        void Add(char c, bool isAny)
        {
            text.Append(c);
            any.Add(isAny);
        }

        void Close()
        {
            if (text.Length > 0)
                parts.Add(Part.Of(text.ToString(), any));
            text.Clear();
            any.Clear();
        }
    }

    /// <summary>Whether the whole value matches the pattern.</summary>
    /// <param name="value">The value, as UTF-8. Of other bytes <c>_</c> stands for one.</param>
    public bool Matches(ReadOnlySpan<byte> value)
    {
        var first = 0;
        var last = _parts.Length;
        if (last == 0)
            return _startsAnywhere || value.IsEmpty;
        if (!_startsAnywhere)
        {
            var length = _parts[0].MatchAt(value);
            if (length < 0)
                return false;
            if (last == 1 && !_endsAnywhere)
                return length == value.Length;
            value = value[length..];
            first = 1;
        }
        if (!_endsAnywhere)
            last--;
        for (var i = first; i < last; i++)
        {
            if (!_parts[i].TryFind(ref value))
                return false;
        }
        return _endsAnywhere || _parts[last].IsEndOf(value);
    }

    // A piece between two %.
    private sealed class Part
    {
        private readonly byte[] _bytes;
        // Per byte of the pattern whether it stands for any one character; null if none does.
        private readonly bool[]? _any;

        private Part(byte[] bytes, bool[]? any) => (_bytes, _any) = (bytes, any);

        public static Part Of(string text, List<bool> any)
        {
            var bytes = Encoding.UTF8.GetBytes(text);
            if (!any.Contains(true))
                return new Part(bytes, null);
            var flags = new bool[bytes.Length];
            var at = 0;
            for (var i = 0; i < text.Length;)
            {
                var rune = Rune.GetRuneAt(text, i);
                flags[at] = any[i];
                at += rune.Utf8SequenceLength;
                i += rune.Utf16SequenceLength;
            }
            return new Part(bytes, flags);
        }

        // Returns the matched bytes at the value's beginning; -1: none.
        public int MatchAt(ReadOnlySpan<byte> value)
        {
            if (_any is null)
                return value.StartsWith(_bytes) ? _bytes.Length : -1;
            var at = 0;
            for (var i = 0; i < _bytes.Length; i++)
            {
                if (at == value.Length)
                    return -1;
                if (_any[i])
                    at += CharacterLength(value[at..]);
                else if (value[at++] != _bytes[i])
                    return -1;
            }
            return at;
        }

        public bool TryFind(ref ReadOnlySpan<byte> value)
        {
            if (_any is null)
            {
                var index = value.IndexOf(_bytes);
                if (index < 0)
                    return false;
                value = value[(index + _bytes.Length)..];
                return true;
            }
            while (!value.IsEmpty)
            {
                var length = MatchAt(value);
                if (length >= 0)
                {
                    value = value[length..];
                    return true;
                }
                value = value[CharacterLength(value)..];
            }
            return false;
        }

        public bool IsEndOf(ReadOnlySpan<byte> value)
        {
            if (_any is null)
                return value.EndsWith(_bytes);
            // From the end, since the lengths of the characters that _ stands for are not known.
            var end = value.Length;
            for (var i = _bytes.Length - 1; i >= 0; i--)
            {
                if (end == 0)
                    return false;
                if (_any[i])
                    end -= LastCharacterLength(value[..end]);
                else if (value[--end] != _bytes[i])
                    return false;
            }
            return true;
        }

        private static int CharacterLength(ReadOnlySpan<byte> value)
        {
            if (value[0] < 0x80)
                return 1;
            var status = Rune.DecodeFromUtf8(value, out _, out var consumed);
            return status == OperationStatus.Done ? consumed : 1;
        }

        private static int LastCharacterLength(ReadOnlySpan<byte> value)
        {
            if (value[^1] < 0x80)
                return 1;
            var status = Rune.DecodeLastFromUtf8(value, out _, out var consumed);
            return status == OperationStatus.Done ? consumed : 1;
        }
    }
}
