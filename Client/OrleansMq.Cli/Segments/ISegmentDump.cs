namespace OrleansMq.Cli.Segments;

/// <summary>An output format of a segment dump.</summary>
internal interface ISegmentDump
{
    /// <summary>Writes one batch with its records.</summary>
    /// <returns>False if the batch, or one of its records, is damaged.</returns>
    bool Write(ScannedBatch batch);

    /// <summary>Writes the totals.</summary>
    /// <param name="batches">Batches written, including damaged ones.</param>
    /// <param name="records">Records of the valid batches.</param>
    /// <param name="faults">Damaged batches.</param>
    /// <param name="unreadBytes">Bytes at the end of the file that are not a whole batch.</param>
    void End(long batches, long records, long faults, long unreadBytes);
}
