using OrleansMq.Api;

namespace OrleansMq.Gateways.Http.Queueing;

/// <summary>The settlements that give a delivery back. Pure.</summary>
internal static class ReturnedRecords
{
    /// <summary>Releases all records, one settlement for each run of offsets: what is between two runs is not this delivery's.</summary>
    public static List<QueueSettlement> Of(QueueDelivery delivery)
    {
        var settlements = new List<QueueSettlement>();
        foreach (var offset in delivery.Records.Select(static record => record.Offset).Order())
        {
            if (settlements.Count > 0 && settlements[^1].Last == offset - 1)
                settlements[^1] = settlements[^1] with { Last = offset };
            else
                settlements.Add(new QueueSettlement(delivery.Lock, offset, offset, QueueAction.Release));
        }
        return settlements;
    }
}
