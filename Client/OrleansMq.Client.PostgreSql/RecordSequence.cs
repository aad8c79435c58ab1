using System.Globalization;
using OrleansMq.Records;

namespace OrleansMq.Client.PostgreSql;

/// <summary>A record's number among those of its source, in its headers.</summary>
public static class RecordSequence
{
    /// <summary>The header that names the source, as text.</summary>
    public const string SourceHeader = "omq.sequence.source";

    /// <summary>The header that holds the number, as text.</summary>
    public const string NumberHeader = "omq.sequence.number";

    /// <summary>The headers for a record to send.</summary>
    /// <param name="source">Who numbers: unique, and numbering without gaps, across restarts too.</param>
    /// <param name="number">0 for its first record, then one more each.</param>
    public static RecordHeader[] Headers(string source, long number)
    {
        ArgumentException.ThrowIfNullOrEmpty(source);
        ArgumentOutOfRangeException.ThrowIfNegative(number);
        return [RecordHeaders.Text(SourceHeader, source), RecordHeaders.Text(NumberHeader, number.ToString(CultureInfo.InvariantCulture))];
    }

    /// <summary>Reads them; false where a record has none.</summary>
    public static bool TryRead(IReadOnlyList<RecordHeader> headers, out string source, out long number)
    {
        ArgumentNullException.ThrowIfNull(headers);
        source = headers.FirstOrDefault(static header => header.Name() == SourceHeader).TextValue() ?? "";
        return long.TryParse(headers.FirstOrDefault(static header => header.Name() == NumberHeader).TextValue(), NumberStyles.None,
            CultureInfo.InvariantCulture, out number) && source.Length > 0;
    }
}
