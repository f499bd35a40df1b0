"""Chinese tasks of CLUE (Xu et al. 2020, arXiv:2004.05986) and two of FewCLUE (Xu et al. 2021, arXiv:2107.07498).

Class ids are those of the hub copy, and every task is scored by accuracy, as there. The hub hides the labels of the
test splits; `test` is listed where labelled copies exist (FewCLUE). What a text classifier cannot see is written into
its text: CLUEWSC has the noun between underscores and the pronoun between brackets, as the authors' baseline; CSL reads
the abstract and its keywords as a pair. Pairs of CMNLI and OCNLI on which annotators did not agree (`-`) are left out.
"""

from __future__ import annotations

from bert_cli.errors import DataError
from bert_cli.tasks.base import Hub, Mark, Row, Task, marked
from bert_cli.tasks.generic import SPLITS

_PUBLIC = {"train": SPLITS["train"], "validation": SPLITS["validation"]}
_PAIR = {"text": ("sentence1",), "text_pair": ("sentence2",), "label": ("label",)}
_INFERENCE = ("neutral", "entailment", "contradiction")

_TNEWS = {
    "100": "news_story",
    "101": "news_culture",
    "102": "news_entertainment",
    "103": "news_sports",
    "104": "news_finance",
    "106": "news_house",
    "107": "news_car",
    "108": "news_edu",
    "109": "news_tech",
    "110": "news_military",
    "112": "news_travel",
    "113": "news_world",
    "114": "news_stock",
    "115": "news_agriculture",
    "116": "news_game",
}

# Kinds of apps, ids 0 to 118.
_IFLYTEK = """
打车 地图导航 免费WIFI 租车 同城服务 快递物流 婚庆 家政 公共交通 政务
社区服务 薅羊毛 魔幻 仙侠 卡牌 飞行空战 射击游戏 休闲益智 动作类 体育竞技
棋牌中心 经营养成 策略 MOBA 辅助工具 约会社交 即时通讯 工作社交 论坛圈子 婚恋社交
情侣社交 社交工具 生活社交 微博博客 新闻 漫画 小说 技术 教辅 问答交流
搞笑 杂志 百科 影视娱乐 求职 兼职 视频 短视频 音乐 直播
电台 K歌 成人 中小学 职考 公务员 英语 视频教育 高等教育 成人教育
艺术 语言(非英语) 旅游资讯 综合预定 民航 铁路 酒店 行程管理 民宿短租 出国
工具 亲子儿童 母婴 驾校 违章 汽车咨询 汽车交易 日常养车 行车辅助 租房
买房 装修家居 电子产品 问诊挂号 养生保健 医疗服务 减肥瘦身 美妆美业 菜谱 餐饮店
体育咨讯 运动健身 支付 保险 股票 借贷 理财 彩票 记账 银行
美颜 影像剪辑 摄影修图 相机 绘画 二手 电商 团购 外卖 电影票务
社区超市 购物咨询 笔记 办公 日程管理 女性 经营 收款 其他
"""


def _hub(config: str) -> Hub:
    return Hub(path="clue/clue", config=config, splits={"train": "train", "validation": "validation"})


def leave_out_disputed(row: Row) -> Row | None:
    """CMNLI and OCNLI: None for a pair that annotators did not agree on."""
    return None if row.get("label") == "-" else row


def join_keywords(row: Row) -> Row:
    """CSL: the keywords as one second text."""
    keywords = row["keywords"]
    words = [keywords] if isinstance(keywords, str) else keywords
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise DataError(
            "D148",
            "the keywords of this row are no list of strings",
            found="null" if keywords is None else repr(keywords),
            allowed='a list, as ["水稻", "产量"]',
            help="correct the row, or delete it",
        )
    return {"text": row["text"], "text_pair": " ".join(words)} | _label(row)


def mark_spans(row: Row) -> Row:
    """CLUEWSC: the text with underscores around the noun and brackets around the pronoun."""
    target, text = row["target"], str(row["text"])
    noun, pronoun = (_span(target, text, number) for number in (1, 2))
    return {"text": marked(text, Mark(*noun, "_", "_"), Mark(*pronoun, "[", "]"))} | _label(row)


def _span(target: object, text: str, number: int) -> tuple[int, int]:
    words = target.get(f"span{number}_text") if isinstance(target, dict) else None
    start = target.get(f"span{number}_index") if isinstance(target, dict) else None
    if not isinstance(words, str) or not isinstance(start, int) or not words or not text.startswith(words, start):
        raise DataError(
            "D148",
            f"span {number} of this row is not in its text",
            found=f"{words!r} at {start}",
            allowed=f"span{number}_text as it stands in the text, and span{number}_index where it begins, from 0",
            help="correct the row, or delete it",
        )
    return start, start + len(words)


def _label(row: Row) -> Row:
    return {"label": row["label"]} if "label" in row else {}


TASKS: tuple[Task, ...] = (
    Task(
        name="tnews",
        objective="text-classification",
        summary="topic of Chinese headlines, 15 classes",
        hub=_hub("tnews"),
        folders=("tnews", "tnews_public", "fewclue_tnews"),
        splits=SPLITS,
        columns={"text": ("sentence", "text"), "label": ("label", "label_desc")},
        labels=tuple(_TNEWS.values()),
        label_aliases=_TNEWS,
        metrics=("accuracy",),
        primary="accuracy",
        language="zh",
    ),
    Task(
        name="iflytek",
        objective="text-classification",
        summary="kind of app by its long description, 119 classes",
        hub=_hub("iflytek"),
        folders=("iflytek", "iflytek_public"),
        splits=_PUBLIC,
        columns={"text": ("sentence", "text"), "label": ("label", "label_des")},
        labels=tuple(_IFLYTEK.split()),
        metrics=("accuracy",),
        primary="accuracy",
        language="zh",
    ),
    Task(
        name="afqmc",
        objective="text-classification",
        summary="do two questions to a bank ask the same? Chinese",
        hub=_hub("afqmc"),
        folders=("afqmc", "afqmc_public"),
        splits=_PUBLIC,
        columns=_PAIR,
        labels=("different", "same"),
        metrics=("accuracy",),
        primary="accuracy",
        language="zh",
    ),
    Task(
        name="bustm",
        objective="text-classification",
        summary="do two requests mean the same? Chinese, few examples",
        folders=("bustm", "fewclue_bustm"),
        splits=SPLITS,
        columns=_PAIR,
        labels=("different", "same"),
        metrics=("accuracy",),
        primary="accuracy",
        language="zh",
    ),
    Task(
        name="eprstmt",
        objective="text-classification",
        summary="sentiment of Chinese product reviews, few examples",
        folders=("eprstmt", "fewclue_eprstmt"),
        splits=SPLITS,
        columns={"text": ("sentence", "text"), "label": ("label",)},
        labels=("negative", "positive"),
        metrics=("accuracy",),
        primary="accuracy",
        language="zh",
    ),
    Task(
        name="ocnli",
        objective="text-classification",
        summary="entailment, written in Chinese, 3 classes",
        hub=_hub("ocnli"),
        folders=("ocnli", "ocnli_public"),
        splits={"train": ("train.50k", *SPLITS["train"]), "validation": SPLITS["validation"]},
        columns=_PAIR,
        labels=_INFERENCE,
        metrics=("accuracy",),
        primary="accuracy",
        language="zh",
        prepare=leave_out_disputed,
    ),
    Task(
        name="cmnli",
        objective="text-classification",
        summary="entailment, translated to Chinese, 3 classes",
        hub=_hub("cmnli"),
        folders=("cmnli", "cmnli_public"),
        splits=_PUBLIC,
        columns=_PAIR,
        labels=_INFERENCE,
        metrics=("accuracy",),
        primary="accuracy",
        language="zh",
        prepare=leave_out_disputed,
    ),
    Task(
        name="csl",
        objective="text-classification",
        summary="are these the keywords of a Chinese abstract?",
        hub=_hub("csl"),
        folders=("csl", "csl_public"),
        splits=_PUBLIC,
        columns={"text": ("abst",), "keywords": ("keyword",), "label": ("label",)},
        labels=("some_wrong", "all_right"),
        metrics=("accuracy",),
        primary="accuracy",
        language="zh",
        prepare=join_keywords,
    ),
    Task(
        name="cluewsc",
        objective="text-classification",
        summary="does the pronoun mean this noun? Chinese",
        hub=_hub("cluewsc2020"),
        folders=("cluewsc", "cluewsc2020", "cluewsc2020_public"),
        splits=_PUBLIC,
        columns={"text": ("text",), "target": ("target",), "label": ("label",)},
        labels=("true", "false"),
        metrics=("accuracy",),
        primary="accuracy",
        language="zh",
        prepare=mark_spans,
    ),
)
