namespace OrleansMq.Client;

/// <summary>A report with where its time is from.</summary>
/// <param name="Report">The report.</param>
/// <param name="IsAppendTime">Whether its time is that of the append, which all records of the batch have.</param>
internal readonly record struct StampedReport(DeliveryReport Report, bool IsAppendTime);
