// SPDX-License-Identifier: GPL-2.0
/*
 * labclock - simulated pulses, PTP clocks and network cards, with a known true time.
 *
 * One hidden "true time" T (TAI), derived from CLOCK_MONOTONIC_RAW (the guest's
 * own oscillator), with a settable frequency error and random-walk wander.
 * True UTC is T - tai_offset_s.  From the same instant of T it produces:
 *   - a pulse once per second, seen as /dev/ppsN (system time of the
 *     edge) and as PTP external time stamps on /dev/ptpN (PHC time of the edge);
 *   - two PTP hardware clocks, each with its own frequency error and wander,
 *     adjfine/adjtime/settime/gettimex64/getcrosststamp, and pins;
 *   - a pair of connected network interfaces lab0 <-> lab1 which take hardware
 *     RX and TX time stamps of every packet from PHC 0 and PHC 1, over a "wire"
 *     of known, possibly asymmetric, delay.
 * Timestamps are computed from the mathematical instant of the edge, not from the
 * instant when the CPU handles it. They carry no scheduling noise of the emulator.
 *
 * Settings and true offsets: /sys/devices/platform/labclock/, see lab/README.md.
 */
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/ptp_clock_kernel.h>
#include <linux/pps_kernel.h>
#include <linux/netdevice.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/net_tstamp.h>
#include <linux/hrtimer.h>
#include <linux/timekeeping.h>
#include <linux/math64.h>
#include <linux/prandom.h>
#include <linux/delay.h>

#define NPHC 2
#define NPIN 2
#define NLATE 16
typedef __int128 s128x;

/* ---- a clock as a piecewise linear function of CLOCK_MONOTONIC_RAW ---- */
struct clk {
	s64 in, out;		/* anchor: raw ns -> clock ns */
	u32 frac;		/* 2^-32 ns */
	s64 q;			/* rate - 1, in 2^-48 */
};

/* integer settings, all s64, written under lc.lock */
enum { K_REF_PPT, K_REF_WANDER, K_PULSE_ON, K_PULSE_OFFSET, K_PULSE_JITTER, K_PULSE_SAW,
	K_PULSE_DROP_PPM, K_PULSE_WIDTH, K_PPS_MODE, K_PPS_LATENCY, K_PPS_JITTER,
	K_EXTTS_LATENCY, K_EXTTS_JITTER, K_EXTTS_BOTH, K_EXTTS_V1, K_EXTTS_REPLAY,
	K_EXTTS_DELAY, K_EXTTS_STUCK, K_TS_RES, K_NIC_JITTER, K_NIC_TX_DROP_PPM,
	K_WIRE01, K_WIRE10, K_WIRE_JITTER, K_PHC_READ_NS, K_TAI_OFFSET, K_SEED,
	K_PHC0_PPT, K_PHC1_PPT, K_PHC0_WANDER, K_PHC1_WANDER, NKNOB };
static const struct { const char *name; s64 def; } kinfo[NKNOB] = {
	[K_REF_PPT] = { "ref_ppt", 0 },			/* T vs MONOTONIC_RAW, 1e-12 */
	[K_REF_WANDER] = { "ref_wander_ppt", 0 },	/* random walk FM, 1e-12 per sqrt(s) */
	[K_PULSE_ON] = { "pulse_on", 1 },
	[K_PULSE_OFFSET] = { "pulse_offset_ns", 0 },	/* receiver error common to PPS and EXTTS */
	[K_PULSE_JITTER] = { "pulse_jitter_ns", 0 },	/* 1 sigma */
	[K_PULSE_SAW] = { "pulse_saw_ns", 0 },		/* peak to peak quantisation sawtooth */
	[K_PULSE_DROP_PPM] = { "pulse_drop_ppm", 0 },
	[K_PULSE_WIDTH] = { "pulse_width_ns", 100 * NSEC_PER_MSEC },
	[K_PPS_MODE] = { "pps_mode", 0 },		/* 0 mathematical edge, 1 when the CPU handles it */
	[K_PPS_LATENCY] = { "pps_latency_ns", 0 },
	[K_PPS_JITTER] = { "pps_jitter_ns", 0 },
	[K_EXTTS_LATENCY] = { "extts_latency_ns", 0 },
	[K_EXTTS_JITTER] = { "extts_jitter_ns", 0 },
	[K_EXTTS_BOTH] = { "extts_both", 0 },		/* stamps both edges whatever is requested, as igc */
	[K_EXTTS_V1] = { "extts_v1_only", 0 },		/* refuses the version-2 request, as macb */
	[K_EXTTS_REPLAY] = { "extts_replay", 0 },	/* number of repetitions of every timestamp */
	[K_EXTTS_DELAY] = { "extts_delay_ns", 0 },	/* delay of timestamps to user space */
	[K_EXTTS_STUCK] = { "extts_stuck", 0 },		/* number of repetitions of the last timestamp, each second, as CM4 without carrier */
	[K_TS_RES] = { "ts_res_ns", 1 },		/* granularity of EXTTS and NIC timestamps */
	[K_NIC_JITTER] = { "nic_jitter_ns", 0 },
	[K_NIC_TX_DROP_PPM] = { "nic_tx_drop_ppm", 0 },	/* share of lost TX timestamps */
	[K_WIRE01] = { "wire01_ns", 0 },
	[K_WIRE10] = { "wire10_ns", 0 },
	[K_WIRE_JITTER] = { "wire_jitter_ns", 0 },	/* exponential, mean */
	[K_PHC_READ_NS] = { "phc_read_ns", 0 },		/* slow register read */
	[K_TAI_OFFSET] = { "tai_offset_s", 37 },	/* TAI - UTC */
	[K_SEED] = { "seed", 1 },
	[K_PHC0_PPT] = { "phc0_ppt", 0 },		/* PHC oscillator vs T, 1e-12 */
	[K_PHC1_PPT] = { "phc1_ppt", 0 },
	[K_PHC0_WANDER] = { "phc0_wander_ppt", 0 },
	[K_PHC1_WANDER] = { "phc1_wander_ppt", 0 },
};

struct phc {
	struct ptp_clock_info info;
	struct ptp_clock *ptp;
	struct ptp_pin_desc pin[NPIN];
	struct clk c;
	s64 wander_q, adj_q;
	struct ptp_clock_event last[NPIN];	/* external timestamps */
	bool extts[NPIN], extts_fall[NPIN], extts_rise[NPIN], pps_en;
};

struct nic {
	struct net_device *dev;
	struct kernel_hwtstamp_config cfg;
	struct napi_struct napi;	/* so that SCM_TIMESTAMPING_PKTINFO knows the interface */
	struct hrtimer timer;
	struct sk_buff_head q, rxq;	/* on the wire; received */
	s64 last_due;
	u64 txts, rxts, txdrop;
	int idx;
};

static struct {
	spinlock_t lock;
	struct platform_device *pdev;
	struct clk t;		/* true time */
	s64 wander_q;
	struct phc phc[NPHC];
	struct nic *nic[2];
	struct pps_device *pps;
	struct hrtimer tick, edge, late;
	struct late {
		s64 due;	/* raw; 0 is free */
		struct phc *p;
		struct ptp_clock_event ev;
	} lateq[NLATE];		/* external timestamps on their way */
	s64 next_T;		/* true time of the next edge, errors included */
	s64 sec_T;		/* the second it belongs to */
	bool next_fall;
	s64 err;		/* error of the last pulse */
	s64 saw_phase, saw;
	u64 npulse, ndrop;
	s64 snap_real, snap_raw, ratio_q32;
	struct rnd_state rnd;
	s64 k[NKNOB];
} lc;

static unsigned int tick_ms = 1000;	/* wander step; every tick is a wakeup */
module_param(tick_ms, uint, 0444);
static bool crossts = true, nics = true;
module_param(crossts, bool, 0444);
module_param(nics, bool, 0444);
static char *names = "lab";
module_param(names, charp, 0444);

static s64 clk_at(const struct clk *c, s64 raw)
{
	s64 d = raw - c->in;
	s128x t = ((s128x)d << 32) + (((s128x)d * c->q) >> 16) + c->frac;

	return c->out + (s64)(t >> 32);
}

static void clk_anchor(struct clk *c, s64 raw)
{
	s64 d = raw - c->in;
	s128x t = ((s128x)d << 32) + (((s128x)d * c->q) >> 16) + c->frac;

	c->out += (s64)(t >> 32);
	c->frac = (u32)t;
	c->in = raw;
}

static s64 clk_inv(const struct clk *c, s64 out)	/* raw instant at which c shows out */
{
	s64 d = out - c->out, x = d;
	int i;

	for (i = 0; i < 4; i++)
		x = d - (s64)(((s128x)x * c->q) >> 48);
	return c->in + x;
}

static s64 ppt_q(s64 ppt)	/* 1e-12 -> 2^-48; 2^48/1e12 = 281.474976710656 */
{
	return (s64)(((s128x)ppt * 1208925819615LL) >> 32);	/* 281.474976710656 * 2^32 */
}

static s64 mulq(s64 a, s64 b)	/* (1+a)(1+b)-1 */
{
	return a + b + (s64)(((s128x)a * b) >> 48);
}

static void rates(void)		/* lock held, clocks anchored */
{
	int i;

	lc.t.q = ppt_q(lc.k[K_REF_PPT]) + lc.wander_q;
	for (i = 0; i < NPHC; i++) {
		struct phc *p = &lc.phc[i];

		p->c.q = mulq(mulq(lc.t.q, ppt_q(lc.k[K_PHC0_PPT + i]) + p->wander_q), p->adj_q);
	}
}

static void anchor_all(s64 raw)
{
	int i;

	clk_anchor(&lc.t, raw);
	for (i = 0; i < NPHC; i++)
		clk_anchor(&lc.phc[i].c, raw);
}

static s64 gauss(s64 sigma)	/* sum of 12 uniforms */
{
	s64 s = 0;
	int i;

	if (!sigma)
		return 0;
	for (i = 0; i < 12; i++)
		s += prandom_u32_state(&lc.rnd) >> 8;		/* 24 bits each */
	s -= 6LL << 24;
	return (s64)(((s128x)s * sigma) >> 24);
}

static s64 expo(s64 mean)	/* crude exponential: geometric sum of halves */
{
	u32 r = prandom_u32_state(&lc.rnd);
	int lz = r ? __builtin_clz(r) : 31;

	if (!mean)
		return 0;
	/* -ln(u) ~ 0.693*(lz + fraction) */
	return div_s64(mean * (lz * 693LL + ((r << 1) & 0x3ff) * 693LL / 1024), 1000);
}

static bool chance(s64 ppm)
{
	return ppm > 0 && prandom_u32_state(&lc.rnd) % 1000000 < ppm;
}

static s64 quant(s64 ns)
{
	s32 res = lc.k[K_TS_RES], rem;

	if (res > 1) {
		div_s64_rem(ns, res, &rem);
		ns -= rem;
	}
	return ns;
}

/* ---- pulse ---- */
static void plan_edge(s64 nowT)	/* lock held: choose the next rising edge */
{
	s32 rem;

	div_s64_rem(nowT + 20 * NSEC_PER_MSEC, NSEC_PER_SEC, &rem);
	lc.sec_T = nowT + 20 * NSEC_PER_MSEC - rem + NSEC_PER_SEC;
	lc.err = lc.k[K_PULSE_OFFSET] + gauss(lc.k[K_PULSE_JITTER]);
	lc.saw = 0;
	if (lc.k[K_PULSE_SAW]) {
		s32 r;

		lc.saw_phase += div_s64(lc.k[K_PULSE_SAW] * 37, 101);
		div_s64_rem(lc.saw_phase, (s32)lc.k[K_PULSE_SAW], &r);
		lc.saw_phase = r;
		lc.saw = r - lc.k[K_PULSE_SAW] / 2;
		lc.err += lc.saw;
	}
	lc.next_T = lc.sec_T + lc.err;
	lc.next_fall = false;
}

static void extts(struct phc *p, struct ptp_clock_event *ev)	/* lock held */
{
	s64 n = lc.k[K_EXTTS_REPLAY];

	do
		ptp_clock_event(p->ptp, ev);
	while (n-- > 0);
}

static enum hrtimer_restart late_fn(struct hrtimer *t)
{
	s64 next = S64_MAX, now;
	unsigned long fl;
	int i;

	spin_lock_irqsave(&lc.lock, fl);
	now = ktime_get_raw();
	for (i = 0; i < NLATE; i++) {
		struct late *l = &lc.lateq[i];

		if (l->due && l->due <= now) {
			l->due = 0;
			extts(l->p, &l->ev);
		} else if (l->due) {
			next = min(next, l->due);
		}
	}
	spin_unlock_irqrestore(&lc.lock, fl);
	if (next == S64_MAX)
		return HRTIMER_NORESTART;
	hrtimer_set_expires(t, ktime_add_ns(hrtimer_cb_get_time(t), max_t(s64, next - now, 1000)));
	return HRTIMER_RESTART;
}

static void extts_later(struct phc *p, struct ptp_clock_event *ev)	/* lock held */
{
	s64 d = lc.k[K_EXTTS_DELAY];
	int i;

	for (i = 0; i < NLATE; i++)
		if (!lc.lateq[i].due) {
			lc.lateq[i] = (struct late){ .due = ktime_get_raw() + d, .p = p, .ev = *ev };
			if (!hrtimer_is_queued(&lc.late))
				hrtimer_start(&lc.late, ns_to_ktime(d), HRTIMER_MODE_REL_HARD);
			return;
		}
}

static void emit(bool fall, s64 rawe, const struct system_time_snapshot *s)
{
	struct pps_event_time pt;
	s64 late, real;
	int i, j;

	if (lc.k[K_PPS_MODE] == 0) {
		late = (s64)s->raw - rawe;
		real = (s64)s->real - late - ((late * lc.ratio_q32) >> 32);
		real += lc.k[K_PPS_LATENCY] + gauss(lc.k[K_PPS_JITTER]);
		pt.ts_real = ns_to_timespec64(real);
	} else {
		pps_get_ts(&pt);
	}
	pps_event(lc.pps, &pt, fall ? PPS_CAPTURECLEAR : PPS_CAPTUREASSERT, NULL);
	for (i = 0; i < NPHC; i++)
		for (j = 0; j < NPIN; j++) {
			struct phc *p = &lc.phc[i];
			struct ptp_clock_event ev = { .type = PTP_CLOCK_EXTTS, .index = j };

			if (!p->extts[j])
				continue;
			if (!lc.k[K_EXTTS_BOTH] && !(fall ? p->extts_fall[j] : p->extts_rise[j]))
				continue;
			ev.timestamp = quant(clk_at(&p->c, rawe) + lc.k[K_EXTTS_LATENCY] +
					     gauss(lc.k[K_EXTTS_JITTER]));
			p->last[j] = ev;
			if (lc.k[K_EXTTS_DELAY] > 0)
				extts_later(p, &ev);
			else
				extts(p, &ev);
		}
}

static enum hrtimer_restart edge_fn(struct hrtimer *t)
{
	struct system_time_snapshot s;
	unsigned long fl;
	s64 rawe, wait;

	spin_lock_irqsave(&lc.lock, fl);
	ktime_get_snapshot(&s);
	rawe = clk_inv(&lc.t, lc.next_T);
	if ((s64)s.raw >= rawe) {
		bool fall = lc.next_fall;

		if (!fall) {
			if (!lc.k[K_PULSE_ON] || chance(lc.k[K_PULSE_DROP_PPM])) {
				lc.ndrop++;
			} else {
				lc.npulse++;
				emit(false, rawe, &s);
				if (lc.k[K_PULSE_WIDTH] > 0) {
					lc.next_T += lc.k[K_PULSE_WIDTH];
					lc.next_fall = true;
				}
			}
		} else {
			emit(true, rawe, &s);
		}
		if (fall || !lc.next_fall)
			plan_edge(max(clk_at(&lc.t, s.raw), lc.sec_T));
		rawe = clk_inv(&lc.t, lc.next_T);
	}
	wait = max_t(s64, rawe - (s64)ktime_get_raw(), 1000);
	spin_unlock_irqrestore(&lc.lock, fl);
	/* never sleep past 2 s, so that rate changes are noticed */
	hrtimer_set_expires(t, ktime_add_ns(hrtimer_cb_get_time(t), min_t(s64, wait, 2 * (s64)NSEC_PER_SEC)));
	return HRTIMER_RESTART;
}

static void extts_stuck(void)	/* lock held */
{
	s64 n;
	int i, j;

	for (i = 0; i < NPHC; i++)
		for (j = 0; j < NPIN; j++)
			for (n = lc.k[K_EXTTS_STUCK]; n > 0 && lc.phc[i].extts[j] && lc.phc[i].last[j].timestamp; n--)
				ptp_clock_event(lc.phc[i].ptp, &lc.phc[i].last[j]);
}

static enum hrtimer_restart tick_fn(struct hrtimer *t)
{
	struct system_time_snapshot s;
	unsigned long fl;
	s64 draw, dreal, sq = int_sqrt(tick_ms * 1000UL);
	int i;

	spin_lock_irqsave(&lc.lock, fl);
	ktime_get_snapshot(&s);
	draw = s.raw - lc.snap_raw;
	dreal = s.real - lc.snap_real - draw;
	if (lc.snap_raw && draw > 0 && abs(dreal) < draw / 1000)
		lc.ratio_q32 = div64_s64(dreal << 32, draw);
	lc.snap_raw = s.raw;
	lc.snap_real = s.real;
	anchor_all(s.raw);
	/* random walk: sigma per tick = wander * sqrt(tick) */
	lc.wander_q += ppt_q(gauss(lc.k[K_REF_WANDER] * sq)) / 1000;
	for (i = 0; i < NPHC; i++)
		lc.phc[i].wander_q += ppt_q(gauss(lc.k[K_PHC0_WANDER + i] * sq)) / 1000;
	rates();
	extts_stuck();
	spin_unlock_irqrestore(&lc.lock, fl);
	hrtimer_forward_now(t, ns_to_ktime(tick_ms * (u64)NSEC_PER_MSEC));
	return HRTIMER_RESTART;
}

/* ---- PTP hardware clocks ---- */
#define to_phc(i) container_of(i, struct phc, info)

static int lc_adjfine(struct ptp_clock_info *i, long scaled_ppm)
{
	struct phc *p = to_phc(i);
	unsigned long fl;

	spin_lock_irqsave(&lc.lock, fl);
	anchor_all(ktime_get_raw());
	/* scaled_ppm / 65536 ppm -> 2^-48: * 2^32 / 1e6, as * (2^64 / 1e6) >> 32 */
	p->adj_q = (s64)(((s128x)scaled_ppm * 18446744073710LL) >> 32);
	rates();
	spin_unlock_irqrestore(&lc.lock, fl);
	return 0;
}

static int lc_adjtime(struct ptp_clock_info *i, s64 delta)
{
	struct phc *p = to_phc(i);
	unsigned long fl;

	spin_lock_irqsave(&lc.lock, fl);
	p->c.out += delta;
	spin_unlock_irqrestore(&lc.lock, fl);
	return 0;
}

static int lc_settime(struct ptp_clock_info *i, const struct timespec64 *ts)
{
	struct phc *p = to_phc(i);
	unsigned long fl;

	spin_lock_irqsave(&lc.lock, fl);
	clk_anchor(&p->c, ktime_get_raw());
	p->c.out = timespec64_to_ns(ts);
	p->c.frac = 0;
	spin_unlock_irqrestore(&lc.lock, fl);
	return 0;
}

static int lc_gettimex(struct ptp_clock_info *i, struct timespec64 *ts, struct ptp_system_timestamp *sts)
{
	struct phc *p = to_phc(i);
	unsigned long fl;
	s64 d = lc.k[K_PHC_READ_NS] / 2;

	spin_lock_irqsave(&lc.lock, fl);
	ptp_read_system_prets(sts);
	if (d)
		ndelay(d);
	*ts = ns_to_timespec64(clk_at(&p->c, ktime_get_raw()));
	if (d)
		ndelay(d);
	ptp_read_system_postts(sts);
	spin_unlock_irqrestore(&lc.lock, fl);
	return 0;
}

static int lc_cross(struct ptp_clock_info *i, struct system_device_crosststamp *x)
{
	struct phc *p = to_phc(i);
	struct system_time_snapshot s;
	unsigned long fl;

	spin_lock_irqsave(&lc.lock, fl);
	ktime_get_snapshot(&s);
	x->device = ns_to_ktime(clk_at(&p->c, s.raw));
	spin_unlock_irqrestore(&lc.lock, fl);
	x->sys_realtime = s.real;
	x->sys_monoraw = s.raw;
	return 0;
}

static int lc_enable(struct ptp_clock_info *i, struct ptp_clock_request *rq, int on)
{
	struct phc *p = to_phc(i);
	unsigned int x, f;

	if (rq->type != PTP_CLK_REQ_EXTTS)
		return -EOPNOTSUPP;
	f = rq->extts.flags;
	if (f & ~(PTP_ENABLE_FEATURE | PTP_RISING_EDGE | PTP_FALLING_EDGE | PTP_STRICT_FLAGS))
		return -EOPNOTSUPP;
	if ((f & PTP_STRICT_FLAGS) && lc.k[K_EXTTS_V1])
		return -EOPNOTSUPP;
	if (on && (f & PTP_STRICT_FLAGS) && lc.k[K_EXTTS_BOTH] && (f & PTP_EXTTS_EDGES) != PTP_EXTTS_EDGES)
		return -EOPNOTSUPP;
	x = rq->extts.index;
	if (on && ptp_find_pin(p->ptp, PTP_PF_EXTTS, x) < 0)
		return -EBUSY;
	p->extts_fall[x] = f & PTP_FALLING_EDGE;
	p->extts_rise[x] = (f & PTP_RISING_EDGE) || !(f & PTP_FALLING_EDGE);
	p->extts[x] = on;
	return 0;
}

static int lc_verify(struct ptp_clock_info *i, unsigned int pin, enum ptp_pin_function f, unsigned int ch)
{
	return f == PTP_PF_NONE || f == PTP_PF_EXTTS ? 0 : -EOPNOTSUPP;
}

/* ---- network interfaces ---- */
static void nic_rx(struct nic *n, struct sk_buff *skb, s64 raw)
{
	unsigned int len = skb->len;
	unsigned long fl;

	if (skb_queue_len(&n->rxq) > 1000 || __dev_forward_skb(n->dev, skb)) {
		kfree_skb(skb);
		return;
	}
	if (n->cfg.rx_filter != HWTSTAMP_FILTER_NONE) {
		spin_lock_irqsave(&lc.lock, fl);
		skb_hwtstamps(skb)->hwtstamp = ns_to_ktime(quant(clk_at(&lc.phc[n->idx].c, raw) +
							  gauss(lc.k[K_NIC_JITTER])));
		spin_unlock_irqrestore(&lc.lock, fl);
		n->rxts++;
	}
	dev_sw_netstats_rx_add(n->dev, len);
	skb_queue_tail(&n->rxq, skb);
	napi_schedule(&n->napi);
}

static int nic_poll(struct napi_struct *napi, int budget)
{
	struct nic *n = container_of(napi, struct nic, napi);
	struct sk_buff *skb;
	int done = 0;

	while (done < budget && (skb = skb_dequeue(&n->rxq))) {
		napi_gro_receive(napi, skb);
		done++;
	}
	if (done < budget && napi_complete_done(napi, done) && !skb_queue_empty(&n->rxq))
		napi_schedule(napi);
	return done;
}

static enum hrtimer_restart nic_timer(struct hrtimer *t)
{
	struct nic *n = container_of(t, struct nic, timer);
	struct sk_buff *skb;
	s64 now = ktime_get_raw(), due;

	while ((skb = skb_peek(&n->q))) {
		due = *(s64 *)skb->cb;
		if (due > now) {
			hrtimer_start(t, ns_to_ktime(max_t(s64, due - now, 1000)), HRTIMER_MODE_REL_SOFT);
			return HRTIMER_NORESTART;
		}
		skb = skb_dequeue(&n->q);
		if (skb)
			nic_rx(n, skb, due);
	}
	return HRTIMER_NORESTART;
}

static netdev_tx_t nic_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct nic *n = *(struct nic **)netdev_priv(dev), *peer = lc.nic[!n->idx];
	struct skb_shared_hwtstamps h = {};
	struct sk_buff *c;
	bool want, give;
	unsigned long fl;
	s64 raw, wire;

	want = (skb_shinfo(skb)->tx_flags & SKBTX_HW_TSTAMP) && n->cfg.tx_type == HWTSTAMP_TX_ON;
	if (want)
		skb_shinfo(skb)->tx_flags |= SKBTX_IN_PROGRESS;
	skb_tx_timestamp(skb);
	spin_lock_irqsave(&lc.lock, fl);
	raw = ktime_get_raw();
	h.hwtstamp = ns_to_ktime(quant(clk_at(&lc.phc[n->idx].c, raw) + gauss(lc.k[K_NIC_JITTER])));
	wire = lc.k[n->idx ? K_WIRE10 : K_WIRE01] + expo(lc.k[K_WIRE_JITTER]);
	/* wire is in true time; rate errors over microseconds are far below 1 ns */
	give = want && !chance(lc.k[K_NIC_TX_DROP_PPM]);
	spin_unlock_irqrestore(&lc.lock, fl);
	if (give) {
		skb_tstamp_tx(skb, &h);
		n->txts++;
	} else if (want) {
		n->txdrop++;
	}
	dev_sw_netstats_tx_add(dev, 1, skb->len);
	c = peer && (peer->dev->flags & IFF_UP) ? skb_copy(skb, GFP_ATOMIC) : NULL;
	consume_skb(skb);
	if (!c)
		return NETDEV_TX_OK;
	skb_shinfo(c)->tx_flags = 0;
	skb_hwtstamps(c)->hwtstamp = 0;
	if (!wire) {
		nic_rx(peer, c, raw);
		return NETDEV_TX_OK;
	}
	peer->last_due = max(raw + wire, peer->last_due);
	*(s64 *)c->cb = peer->last_due;
	skb_queue_tail(&peer->q, c);
	if (!hrtimer_active(&peer->timer) || skb_queue_len(&peer->q) == 1)
		hrtimer_start(&peer->timer, ns_to_ktime(max_t(s64, wire, 1000)), HRTIMER_MODE_REL_SOFT);
	return NETDEV_TX_OK;
}

static int nic_hw_get(struct net_device *dev, struct kernel_hwtstamp_config *c)
{
	struct nic *n = *(struct nic **)netdev_priv(dev);

	*c = n->cfg;
	return 0;
}

static int nic_hw_set(struct net_device *dev, struct kernel_hwtstamp_config *c, struct netlink_ext_ack *e)
{
	struct nic *n = *(struct nic **)netdev_priv(dev);

	if (c->tx_type != HWTSTAMP_TX_OFF && c->tx_type != HWTSTAMP_TX_ON)
		return -ERANGE;
	if (c->rx_filter != HWTSTAMP_FILTER_NONE)
		c->rx_filter = HWTSTAMP_FILTER_ALL;
	n->cfg = *c;
	return 0;
}

static int nic_ts_info(struct net_device *dev, struct kernel_ethtool_ts_info *i)
{
	struct nic *n = *(struct nic **)netdev_priv(dev);

	i->so_timestamping = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE |
		SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_TX_HARDWARE |
		SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE;
	i->phc_index = ptp_clock_index(lc.phc[n->idx].ptp);
	i->tx_types = BIT(HWTSTAMP_TX_OFF) | BIT(HWTSTAMP_TX_ON);
	i->rx_filters = BIT(HWTSTAMP_FILTER_NONE) | BIT(HWTSTAMP_FILTER_ALL);
	return 0;
}

static int nic_stop(struct net_device *dev)
{
	struct nic *n = *(struct nic **)netdev_priv(dev);

	napi_disable(&n->napi);
	skb_queue_purge(&n->rxq);
	return 0;
}

static int nic_open(struct net_device *dev)
{
	struct nic *n = *(struct nic **)netdev_priv(dev);

	napi_enable(&n->napi);
	netif_carrier_on(dev);
	return 0;
}

static int nic_carrier(struct net_device *dev, bool on)	/* /sys/class/net/lab0/carrier */
{
	if (on)
		netif_carrier_on(dev);
	else
		netif_carrier_off(dev);
	return 0;
}

static const struct net_device_ops nic_ops = {
	.ndo_change_carrier = nic_carrier,
	.ndo_open = nic_open,
	.ndo_stop = nic_stop,
	.ndo_start_xmit = nic_xmit,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_validate_addr = eth_validate_addr,
	.ndo_hwtstamp_get = nic_hw_get,
	.ndo_hwtstamp_set = nic_hw_set,
};

/* nic_speed - one gigabit. Timestamps do not depend on it: they mark the beginning
 * of a frame, and wire01_ns and wire10_ns are the delays between the two cards.
 */
static int nic_speed(struct net_device *dev, struct ethtool_link_ksettings *k)
{
	k->base.speed = SPEED_1000;
	k->base.duplex = DUPLEX_FULL;
	k->base.port = PORT_OTHER;
	k->base.autoneg = AUTONEG_DISABLE;
	return 0;
}

static const struct ethtool_ops nic_eops = {
	.get_link = ethtool_op_get_link,
	.get_link_ksettings = nic_speed,
	.get_ts_info = nic_ts_info,
};

static int nic_make(int idx)
{
	struct net_device *dev = alloc_etherdev(sizeof(void *));
	struct nic *n = kzalloc(sizeof(*n), GFP_KERNEL);
	int err;

	if (!dev || !n)
		goto nomem;
	*(struct nic **)netdev_priv(dev) = n;
	n->dev = dev;
	n->idx = idx;
	skb_queue_head_init(&n->q);
	skb_queue_head_init(&n->rxq);
	netif_napi_add(dev, &n->napi, nic_poll);
	hrtimer_init(&n->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
	n->timer.function = nic_timer;
	snprintf(dev->name, IFNAMSIZ, "%s%d", names, idx);
	dev->netdev_ops = &nic_ops;
	dev->ethtool_ops = &nic_eops;
	dev->pcpu_stat_type = NETDEV_PCPU_STAT_TSTATS;
	SET_NETDEV_DEV(dev, &lc.pdev->dev);
	eth_hw_addr_random(dev);
	lc.nic[idx] = n;
	err = register_netdev(dev);
	if (err) {
		lc.nic[idx] = NULL;
		free_netdev(dev);
		kfree(n);
	}
	return err;
nomem:
	if (dev)
		free_netdev(dev);
	kfree(n);
	return -ENOMEM;
}

/* ---- sysfs ---- */
struct kattr { struct device_attribute a; int k; };
static struct kattr kattrs[NKNOB];

static ssize_t k_show(struct device *d, struct device_attribute *a, char *buf)
{
	return sysfs_emit(buf, "%lld\n", lc.k[container_of(a, struct kattr, a)->k]);
}

static ssize_t k_store(struct device *d, struct device_attribute *a, const char *buf, size_t n)
{
	int k = container_of(a, struct kattr, a)->k;
	unsigned long fl;
	long long v;

	if (kstrtoll(buf, 0, &v))
		return -EINVAL;
	spin_lock_irqsave(&lc.lock, fl);
	anchor_all(ktime_get_raw());
	lc.k[k] = v;
	if (k == K_SEED) {
		prandom_seed_state(&lc.rnd, v);
		lc.wander_q = lc.phc[0].wander_q = lc.phc[1].wander_q = 0;
	}
	rates();
	spin_unlock_irqrestore(&lc.lock, fl);
	return n;
}

/* one instant, all clocks: raw true real phc0 phc1, and real as TAI */
static void snapshot(s64 v[6])
{
	struct system_time_snapshot s;
	unsigned long fl;

	spin_lock_irqsave(&lc.lock, fl);
	ktime_get_snapshot(&s);
	v[0] = s.raw;
	v[1] = clk_at(&lc.t, s.raw);
	v[2] = s.real;
	v[3] = clk_at(&lc.phc[0].c, s.raw);
	v[4] = clk_at(&lc.phc[1].c, s.raw);
	v[5] = v[2] + lc.k[K_TAI_OFFSET] * NSEC_PER_SEC;
	spin_unlock_irqrestore(&lc.lock, fl);
}

static ssize_t snapshot_show(struct device *d, struct device_attribute *a, char *buf)
{
	s64 v[6];

	snapshot(v);
	return sysfs_emit(buf, "raw=%lld true=%lld real=%lld phc0=%lld phc1=%lld\n", v[0], v[1], v[2], v[3], v[4]);
}
static DEVICE_ATTR_RO(snapshot);

#define OFF(name, i) \
static ssize_t name##_show(struct device *d, struct device_attribute *a, char *buf) \
{ s64 v[6]; snapshot(v); return sysfs_emit(buf, "%lld\n", v[i] - v[1]); } \
static DEVICE_ATTR_RO(name)
OFF(sys_offset_ns, 5);
OFF(phc0_offset_ns, 3);
OFF(phc1_offset_ns, 4);

static ssize_t true_ns_show(struct device *d, struct device_attribute *a, char *buf)
{
	s64 v[6];

	snapshot(v);
	return sysfs_emit(buf, "%lld\n", v[1]);
}

static ssize_t true_ns_store(struct device *d, struct device_attribute *a, const char *buf, size_t n)
{
	unsigned long fl;
	bool rel = buf[0] == '+' || buf[0] == '-';
	long long v;

	if (kstrtoll(buf[0] == '+' ? buf + 1 : buf, 0, &v))
		return -EINVAL;
	spin_lock_irqsave(&lc.lock, fl);
	clk_anchor(&lc.t, ktime_get_raw());
	lc.t.out = rel ? lc.t.out + v : v;
	plan_edge(lc.t.out);
	spin_unlock_irqrestore(&lc.lock, fl);
	hrtimer_start(&lc.edge, ns_to_ktime(1000), HRTIMER_MODE_REL_HARD);
	return n;
}
static DEVICE_ATTR_RW(true_ns);

static ssize_t saw_show(struct device *d, struct device_attribute *a, char *buf)
{
	unsigned long fl;
	s64 sec, saw;

	spin_lock_irqsave(&lc.lock, fl);
	sec = lc.sec_T;
	saw = lc.saw;
	spin_unlock_irqrestore(&lc.lock, fl);
	return sysfs_emit(buf, "second=%lld saw_ns=%lld\n", sec, saw);
}
static DEVICE_ATTR_RO(saw);

static ssize_t stats_show(struct device *d, struct device_attribute *a, char *buf)
{
	int i, n = sysfs_emit(buf, "pulses=%llu dropped=%llu last_err_ns=%lld ref_wander_q48=%lld\n",
			      lc.npulse, lc.ndrop, lc.err, lc.wander_q);

	for (i = 0; i < 2; i++)
		if (lc.nic[i])
			n += sysfs_emit_at(buf, n, "nic%d rxts=%llu txts=%llu txdrop=%llu\n", i,
					   lc.nic[i]->rxts, lc.nic[i]->txts, lc.nic[i]->txdrop);
	return n;
}
static DEVICE_ATTR_RO(stats);

static struct attribute *attrs[NKNOB + 8] = {
	&dev_attr_snapshot.attr, &dev_attr_sys_offset_ns.attr, &dev_attr_phc0_offset_ns.attr,
	&dev_attr_phc1_offset_ns.attr, &dev_attr_true_ns.attr, &dev_attr_stats.attr, &dev_attr_saw.attr,
};
static const struct attribute_group group = { .attrs = attrs };

/* ---- life ---- */
static void teardown(void)
{
	int i;

	hrtimer_cancel(&lc.edge);
	hrtimer_cancel(&lc.late);
	hrtimer_cancel(&lc.tick);
	for (i = 0; i < 2; i++)
		if (lc.nic[i])
			unregister_netdev(lc.nic[i]->dev);
	for (i = 0; i < 2; i++) {
		struct nic *n = lc.nic[i];

		if (!n)
			continue;
		hrtimer_cancel(&n->timer);	/* a late packet finds NAPI disabled */
		skb_queue_purge(&n->q);
		skb_queue_purge(&n->rxq);
		netif_napi_del(&n->napi);
		lc.nic[i] = NULL;
		free_netdev(n->dev);
		kfree(n);
	}
	for (i = 0; i < NPHC; i++)
		if (!IS_ERR_OR_NULL(lc.phc[i].ptp))
			ptp_clock_unregister(lc.phc[i].ptp);
	if (!IS_ERR_OR_NULL(lc.pps))
		pps_unregister_source(lc.pps);
	if (!IS_ERR_OR_NULL(lc.pdev)) {
		sysfs_remove_group(&lc.pdev->dev.kobj, &group);
		platform_device_unregister(lc.pdev);
	}
}

static int __init lc_init(void)
{
	struct pps_source_info pi = {
		.name = "labclock", .owner = THIS_MODULE,
		.mode = PPS_CAPTUREBOTH | PPS_OFFSETASSERT | PPS_OFFSETCLEAR | PPS_CANWAIT | PPS_TSFMT_TSPEC,
	};
	struct system_time_snapshot s;
	int i, j, err;

	spin_lock_init(&lc.lock);
	prandom_seed_state(&lc.rnd, 1);
	for (i = 0; i < NKNOB; i++)
		lc.k[i] = kinfo[i].def;
	ktime_get_snapshot(&s);
	lc.t = (struct clk){ .in = s.raw, .out = s.real + lc.k[K_TAI_OFFSET] * NSEC_PER_SEC };
	for (i = 0; i < NPHC; i++)
		lc.phc[i].c = lc.t;
	rates();
	plan_edge(lc.t.out);
	hrtimer_init(&lc.edge, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	hrtimer_init(&lc.tick, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	hrtimer_init(&lc.late, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	lc.late.function = late_fn;
	lc.edge.function = edge_fn;
	lc.tick.function = tick_fn;

	lc.pdev = platform_device_register_simple("labclock", -1, NULL, 0);
	if (IS_ERR(lc.pdev))
		return PTR_ERR(lc.pdev);
	for (i = 0; i < NKNOB; i++) {
		struct kattr *k = &kattrs[i];

		k->k = i;
		sysfs_attr_init(&k->a.attr);
		k->a.attr.name = kinfo[i].name;
		k->a.attr.mode = 0644;
		k->a.show = k_show;
		k->a.store = k_store;
		attrs[7 + i] = &k->a.attr;
	}
	err = sysfs_create_group(&lc.pdev->dev.kobj, &group);
	if (err)
		goto fail;
	lc.pps = pps_register_source(&pi, PPS_CAPTUREASSERT | PPS_CAPTURECLEAR | PPS_OFFSETASSERT);
	err = PTR_ERR_OR_ZERO(lc.pps);
	if (err)
		goto fail;
	for (i = 0; i < NPHC; i++) {
		struct phc *p = &lc.phc[i];

		for (j = 0; j < NPIN; j++) {
			snprintf(p->pin[j].name, sizeof(p->pin[j].name), "SDP%d", j);
			p->pin[j].index = j;
		}
		p->info = (struct ptp_clock_info){
			.owner = THIS_MODULE, .max_adj = 500000000, .n_ext_ts = NPIN, .n_pins = NPIN,
			.pin_config = p->pin, .adjfine = lc_adjfine, .adjtime = lc_adjtime,
			.settime64 = lc_settime, .gettimex64 = lc_gettimex, .enable = lc_enable,
			.verify = lc_verify, .getcrosststamp = crossts ? lc_cross : NULL,
		};
		snprintf(p->info.name, sizeof(p->info.name), "labclock%d", i);
		p->ptp = ptp_clock_register(&p->info, &lc.pdev->dev);
		err = p->ptp ? PTR_ERR_OR_ZERO(p->ptp) : -ENODEV;
		if (err)
			goto fail;
	}
	for (i = 0; nics && i < 2; i++) {
		err = nic_make(i);
		if (err)
			goto fail;
	}
	hrtimer_start(&lc.tick, ns_to_ktime(tick_ms * (u64)NSEC_PER_MSEC), HRTIMER_MODE_REL_HARD);
	hrtimer_start(&lc.edge, ns_to_ktime(NSEC_PER_MSEC), HRTIMER_MODE_REL_HARD);
	return 0;
fail:
	teardown();
	return err;
}
module_init(lc_init);

static void __exit lc_exit(void)
{
	teardown();
}
module_exit(lc_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("simulated GPS pulse, PTP hardware clocks and time-stamping NICs with known truth");
